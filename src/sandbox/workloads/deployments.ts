// Deployments: keeps as many pods of a template as are asked for, and replaces them step by step when it changes. The pods
// are written for the agents as if somebody had applied them. ReplicaSets are not made; a pod tells its template by a label,
// as in Kubernetes.

import { createHash, randomBytes } from 'node:crypto'
import { z } from 'zod'
import {
  formatProblem,
  type ManifestObject,
  namespaceOf,
  type ObjectKey,
  objectKey,
  type Problem,
  parseManifests,
  problemOf,
} from '../../manifests/index.ts'
import type { ObjectChanges } from '../../sources/index.ts'
import { sortedKeys, withoutNulls } from '../nulls.ts'
import { type PodManifest, podKey, readPodManifest } from '../pods/manifest.ts'
import type { ClusterFolder, ClusterObject } from '../services/cluster-folder.ts'
import { nextSteps, type Replica, type RolloutPlan } from './rollout.ts'

const HASH_LABEL = 'pod-template-hash'
const DEFAULT_SHARE = '25%'

/** A number of pods, or a share of the replicas. */
const countSchema = z.union([z.int().min(0), z.string().regex(/^\d+%$/)])

const deploymentSchema = z.looseObject({
  spec: z.looseObject({
    replicas: z.int().min(0).default(1),
    selector: z.looseObject({ matchLabels: z.record(z.string(), z.string()).default({}) }).prefault({}),
    template: z.looseObject({
      metadata: z
        .looseObject({
          labels: z.record(z.string(), z.string()).default({}),
          annotations: z.record(z.string(), z.string()).default({}),
        })
        .prefault({}),
      spec: z.record(z.string(), z.unknown()),
    }),
    strategy: z
      .looseObject({
        type: z.enum(['RollingUpdate', 'Recreate']).default('RollingUpdate'),
        rollingUpdate: z
          .looseObject({
            maxSurge: countSchema.default(DEFAULT_SHARE),
            maxUnavailable: countSchema.default(DEFAULT_SHARE),
          })
          .prefault({}),
      })
      .prefault({}),
  }),
})

type DeploymentSpec = z.infer<typeof deploymentSchema>['spec']

type MadePod = { readonly manifest: PodManifest; readonly content: ClusterObject['content']; readonly hash: string }

type Known = {
  readonly object: ManifestObject
  readonly spec: DeploymentSpec
  readonly hash: string
  /** Those that are wanted, by name. */
  readonly pods: Map<string, MadePod>
}

/** A pod as the node that runs it tells. */
export type RunningReplica = {
  readonly namespace: string
  readonly name: string
  readonly ready: boolean
}

export const isDeployment = ({ apiVersion, kind }: Pick<ManifestObject, 'apiVersion' | 'kind'>): boolean =>
  apiVersion === 'apps/v1' && kind === 'Deployment'

export class DeploymentController {
  readonly #folder: Pick<ClusterFolder, 'put' | 'delete'>
  readonly #known = new Map<ObjectKey, Known>()
  /** Deleted, and perhaps not gone yet: key of the pod to that of its Deployment. */
  readonly #leaving = new Map<string, ObjectKey>()
  #running: readonly RunningReplica[] = []

  constructor(folder: Pick<ClusterFolder, 'put' | 'delete'>) {
    this.#folder = folder
  }

  /** Takes what is declared; objects of other kinds are left out. */
  apply({ put, deleted }: ObjectChanges): void {
    for (const object of deleted.filter(isDeployment)) this.#remove(objectKey(object))
    for (const object of put.filter(isDeployment)) {
      const { spec, problems } = readDeployment(object)
      for (const problem of problems) process.stderr.write(`${formatProblem(problem)}\n`)
      if (!spec) continue
      const key = objectKey(object)
      const pods = this.#known.get(key)?.pods ?? new Map<string, MadePod>()
      this.#known.set(key, { object, spec, hash: hashOf(spec), pods })
      this.#proceed(key)
    }
  }

  /** Takes the pods that nodes have. @returns whether other pods are wanted now */
  setRunning(running: readonly RunningReplica[]): boolean {
    this.#running = running
    const there = new Set(running.map(podKey))
    for (const key of this.#leaving.keys()) if (!there.has(key)) this.#leaving.delete(key)
    return [...this.#known.keys()].filter(key => this.#proceed(key)).length > 0
  }

  /** All that are wanted now. */
  pods(): PodManifest[] {
    return [...this.#known.values()].flatMap(({ pods }) => [...pods.values()].map(({ manifest }) => manifest))
  }

  #remove(key: ObjectKey): void {
    const known = this.#known.get(key)
    for (const { content } of known?.pods.values() ?? []) this.#folder.delete(content)
    this.#known.delete(key)
  }

  /** @returns whether something was made or deleted */
  #proceed(key: ObjectKey): boolean {
    const known = this.#known.get(key)
    if (!known) return false
    const steps = nextSteps(planOf(known.spec), this.#replicasOf(key, known))
    for (let i = 0; i < steps.create; i++) this.#create(known)
    for (const name of steps.delete) this.#delete(key, known, name)
    return steps.create > 0 || steps.delete.length > 0
  }

  #replicasOf(key: ObjectKey, { object, pods, hash }: Known): Replica[] {
    const namespace = namespaceOf(object)
    const ready = new Set(this.#running.filter(pod => pod.ready).map(podKey))
    const wanted = [...pods].map(([name, pod]) => ({
      name,
      current: pod.hash === hash,
      ready: ready.has(podKey({ namespace, name })),
      terminating: false,
    }))
    const leaving = [...this.#leaving].filter(([, owner]) => owner === key)
    return [...wanted, ...leaving.map(([name]) => ({ name, current: false, ready: false, terminating: true }))]
  }

  #create(known: Known): void {
    const { object, spec, hash, pods } = known
    const name = `${object.metadata.name}-${hash}-${randomBytes(3).toString('hex').slice(0, 5)}`
    const { manifest, content } = madePod(object, spec, hash, name)
    if (!manifest) return
    pods.set(name, { manifest, content, hash })
    this.#folder.put({ content, origin: object.origin })
  }

  #delete(key: ObjectKey, { object, pods }: Known, name: string): void {
    const pod = pods.get(name)
    if (!pod) return
    pods.delete(name)
    this.#leaving.set(podKey({ namespace: namespaceOf(object), name }), key)
    this.#folder.delete(pod.content)
  }
}

/** @returns without `spec` when its pods could not be made; the problems say why */
export function readDeployment(object: ManifestObject): { spec?: DeploymentSpec; problems: readonly Problem[] } {
  const parsed = deploymentSchema.safeParse(withoutNulls(object.content))
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) =>
      problemOf(
        object,
        'error',
        path.filter(part => typeof part !== 'symbol'),
        message,
      ),
    )
    return { problems }
  }
  const { spec } = parsed.data
  const { labels } = spec.template.metadata
  const strange = Object.entries(spec.selector.matchLabels).find(([key, value]) => labels[key] !== value)
  if (strange) {
    const message = `${strange.join('=')} is not a label of the template`
    return { problems: [problemOf(object, 'error', ['spec', 'selector', 'matchLabels'], message)] }
  }
  const { problems } = madePod(object, spec, 'x', object.metadata.name)
  const errors = problems.filter(({ severity }) => severity === 'error')
  const inTemplate = errors.map(({ path, message }) =>
    problemOf(object, 'error', ['spec', 'template'], `${path ? `${path}: ` : ''}${message}`),
  )
  return errors.length > 0 ? { problems: inTemplate } : { spec, problems: [] }
}

function madePod(object: ManifestObject, { template }: DeploymentSpec, hash: string, name: string) {
  const { labels, annotations } = template.metadata
  const content = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: namespaceOf(object),
      labels: { ...labels, [HASH_LABEL]: hash },
      annotations,
    },
    spec: template.spec,
  }
  const { objects, problems } = parseManifests(JSON.stringify(content), object.origin.file)
  const [pod] = objects
  if (!pod) return { content, problems }
  const read = readPodManifest(pod)
  return { content, problems: read.problems, ...(read.pod && { manifest: read.pod }) }
}

const hashOf = ({ template }: DeploymentSpec): string =>
  createHash('sha256').update(JSON.stringify(template, sortedKeys)).digest('hex').slice(0, 8)

function planOf({ replicas, strategy }: DeploymentSpec): RolloutPlan {
  const { maxSurge, maxUnavailable } = strategy.rollingUpdate
  const share = (count: number | string, round: (value: number) => number): number =>
    typeof count === 'number' ? count : round((replicas * Number.parseInt(count)) / 100)
  const surge = share(maxSurge, Math.ceil)
  const unavailable = share(maxUnavailable, Math.floor)
  // With neither it could not proceed.
  const least = surge === 0 && unavailable === 0 ? 1 : unavailable
  return { replicas, maxSurge: surge, maxUnavailable: least, recreate: strategy.type === 'Recreate' }
}
