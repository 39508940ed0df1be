// The sandbox's control plane for Services: follows what is declared and how the pods are, and writes admitted Services
// and their EndpointSlices for the agents. What it decides is in admission.ts and slices.ts.

import { createHash } from 'node:crypto'
import {
  formatProblem,
  type ManifestObject,
  namespaceOf,
  type ObjectKey,
  objectKey,
  type Problem,
} from '../../manifests/index.ts'
import { ADMITTED_ANNOTATION, type ObjectChanges } from '../../sources/index.ts'
import { sortedKeys } from '../nulls.ts'
import { ServiceAdmission } from './admission.ts'
import type { ClusterFolder, ClusterObject } from './cluster-folder.ts'
import { isService, readDeclaredService } from './declared.ts'
import type { Ranges } from './ranges.ts'
import { type BackendPod, type EndpointSlice, type SlicedService, slicesOf } from './slices.ts'

export type ServiceStatus = {
  readonly namespace: string
  readonly name: string
  readonly type: string
  /** `None` for a headless service. */
  readonly clusterIps: readonly string[]
  readonly loadBalancerAddresses: readonly string[]
  /** `80:30080/TCP` */
  readonly ports: readonly string[]
  /** Why what is declared is not in force. */
  readonly message?: string
}

export type ServiceControllerOptions = {
  readonly folder: Pick<ClusterFolder, 'put' | 'delete'>
  readonly ranges: Ranges
  readonly now?: () => Date
}

type Known = {
  readonly declared: ManifestObject
  readonly content?: ClusterObject['content'] & Readonly<Record<string, unknown>>
  readonly sliced?: SlicedService
  readonly problems: readonly Problem[]
}

export class ServiceController {
  readonly #folder: ServiceControllerOptions['folder']
  readonly #admission: ServiceAdmission
  readonly #now: () => Date
  readonly #known = new Map<ObjectKey, Known>()
  readonly #slices = new Map<ObjectKey, readonly EndpointSlice[]>()
  #pods: readonly BackendPod[] = []

  constructor({ folder, ranges, now = () => new Date() }: ServiceControllerOptions) {
    this.#folder = folder
    this.#admission = new ServiceAdmission(ranges)
    this.#now = now
  }

  /** Takes what is declared; objects of other kinds are left out. */
  apply({ put, deleted }: ObjectChanges): void {
    const gone = deleted.filter(isService)
    for (const object of gone) this.#remove(object)
    // Who asks for something in particular comes before who takes what is left.
    const changed = put.filter(isService).toSorted((a, b) => Number(asks(b)) - Number(asks(a)))
    for (const object of changed) this.#admit(object)
    if (gone.length > 0 || changed.length > 0) this.#retryRefused(new Set(changed))
  }

  /** Takes all pods as they are now. */
  setPods(pods: readonly BackendPod[]): void {
    this.#pods = pods
    for (const key of this.#known.keys()) this.#slice(key)
  }

  status(): ServiceStatus[] {
    return [...this.#known.values()].map(statusOf).toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
  }

  #admit(declared: ManifestObject): void {
    const key = objectKey(declared)
    const before = this.#known.get(key)
    const { admitted, problems } = this.#admission.admit(declared)
    for (const problem of problems) process.stderr.write(`${formatProblem(problem)}\n`)
    if (!admitted) {
      this.#known.set(key, { ...before, declared, problems })
      return
    }
    const content = this.#stamped(declared, admitted.content, before?.content)
    const sliced = slicedOf(declared, content)
    this.#known.set(key, { declared, content, problems, ...(sliced && { sliced }) })
    this.#folder.put({ content, origin: declared.origin })
    this.#slice(key)
  }

  #remove(declared: ManifestObject): void {
    const key = objectKey(declared)
    const content = this.#known.get(key)?.content
    this.#known.delete(key)
    this.#admission.release(declared)
    if (content) this.#folder.delete(content)
    for (const slice of this.#slices.get(key) ?? []) this.#folder.delete(slice)
    this.#slices.delete(key)
  }

  /** What they want may be free now. */
  #retryRefused(justTried: ReadonlySet<ManifestObject>): void {
    for (const { declared, problems } of this.#known.values())
      if (problems.length > 0 && !justTried.has(declared)) this.#admit(declared)
  }

  #slice(key: ObjectKey): void {
    const sliced = this.#known.get(key)?.sliced
    const before = this.#slices.get(key) ?? []
    const slices = sliced ? slicesOf(sliced, this.#pods, before) : []
    const names = new Set(slices.map(({ metadata }) => metadata.name))
    for (const content of slices) this.#folder.put({ content })
    // Last, so that an endpoint that moves is never missing.
    for (const slice of before) if (!names.has(slice.metadata.name)) this.#folder.delete(slice)
    this.#slices.set(key, slices)
  }

  /** With what identifies this Service among all that ever had its name. */
  #stamped(
    declared: ManifestObject,
    content: Readonly<Record<string, unknown>>,
    before: Known['content'],
  ): ClusterObject['content'] & Readonly<Record<string, unknown>> {
    const metadata = content['metadata'] as Record<string, unknown>
    const had = (before?.metadata ?? {}) as Record<string, unknown>
    const creationTimestamp = metadata['creationTimestamp'] ?? had['creationTimestamp'] ?? secondsOf(this.#now())
    const annotations = { ...declared.metadata.annotations, [ADMITTED_ANNOTATION]: versionOf(declared) }
    return {
      ...content,
      apiVersion: declared.apiVersion,
      kind: declared.kind,
      metadata: {
        ...metadata,
        name: declared.metadata.name,
        namespace: namespaceOf(declared),
        creationTimestamp,
        annotations,
      },
    }
  }
}

/** What tells one version of a declared object from another. */
export const versionOf = ({ content }: Pick<ManifestObject, 'content'>): string =>
  createHash('sha256').update(JSON.stringify(content, sortedKeys)).digest('hex').slice(0, 16)

const secondsOf = (time: Date): string => time.toISOString().replace(/\.\d+Z$/, 'Z')

const nameOf = ({ namespace, name }: { namespace: string; name: string }): string => `${namespace}/${name}`

function asks(object: ManifestObject): boolean {
  const { service } = readDeclaredService(object)
  if (!service) return false
  const { clusterIP, clusterIPs, ports, healthCheckNodePort, loadBalancerIP } = service.spec
  const addresses = [clusterIP, loadBalancerIP, ...clusterIPs].some(Boolean)
  return addresses || healthCheckNodePort !== undefined || ports.some(({ nodePort }) => nodePort !== undefined)
}

function slicedOf(declared: ManifestObject, content: Readonly<Record<string, unknown>>): SlicedService | undefined {
  const { service } = readDeclaredService({ ...declared, content })
  if (!service) return undefined
  const { name, labels } = declared.metadata
  return { namespace: namespaceOf(declared), name, labels, spec: service.spec, families: service.spec.ipFamilies }
}

function statusOf({ declared, content, problems }: Known): ServiceStatus {
  const { service } = readDeclaredService(content ? { ...declared, content } : declared)
  const { type = 'ClusterIP', clusterIPs = [], ports = [] } = service?.spec ?? {}
  const ingress = (service?.status.loadBalancer.ingress ?? []) as { readonly ip?: string }[]
  return {
    namespace: namespaceOf(declared),
    name: declared.metadata.name,
    type,
    clusterIps: clusterIPs,
    loadBalancerAddresses: ingress.flatMap(({ ip }) => (ip ? [ip] : [])),
    ports: ports.map(({ port, nodePort, protocol }) => `${port}${nodePort ? `:${nodePort}` : ''}/${protocol}`),
    ...(problems[0] && { message: [problems[0].path, problems[0].message].filter(Boolean).join(': ') }),
  }
}
