// From a Pod to the processes to start: command, environment, user and folder of every container. Pure. A pod that the
// sandbox cannot run as it is written is refused with the reason a user of Kubernetes would look for.

import { POD_PROGRAMS } from '../paths.ts'
import { type Action, actionOf, type ProbePlan, probeOf } from './actions.ts'
import { programOf } from './images.ts'
import type { ContainerSpec, EnvironmentVariable, PodManifest } from './manifest.ts'

export type ContainerPlan = {
  readonly name: string
  readonly image: string
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly directory: string
  readonly uid: number
  readonly gid: number
  /** An init container that keeps running. */
  readonly sidecar: boolean
  readonly startup?: ProbePlan
  readonly readiness?: ProbePlan
  readonly liveness?: ProbePlan
  readonly preStop?: Action
}

export type PodPlan = {
  readonly hostname: string
  readonly restartPolicy: 'Always' | 'OnFailure' | 'Never'
  readonly gracePeriodMs: number
  readonly initContainers: readonly ContainerPlan[]
  readonly containers: readonly ContainerPlan[]
}

export type Refusal = { readonly reason: string; readonly message: string }

/** What is known of the node and of the pod's addresses; before the endpoint is there, there are none. */
export type PodContext = { readonly node: string; readonly hostAddress: string; readonly addresses: readonly string[] }

const MAX_HOSTNAME = 63
const DEFAULT_GRACE_SECONDS = 30

class RefusedError extends Error {
  readonly reason: string
  constructor(reason: string, message: string) {
    super(message)
    this.reason = reason
  }
}

export function planPod(
  pod: PodManifest,
  context: PodContext,
): { readonly plan: PodPlan } | { readonly refused: Refusal } {
  try {
    return { plan: plan(pod, context) }
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error
    return { refused: { reason: error.reason, message: error.message } }
  }
}

/** What the pod's /etc/resolv.conf says: its `dnsConfig`, for the sandbox itself serves no names. */
export function resolverOf({ spec: { dnsConfig } }: PodManifest): string {
  const { nameservers = [], searches = [], options = [] } = dnsConfig ?? {}
  const own = options.map(({ name, value }) => (value === undefined ? name : `${name}:${value}`))
  return [
    ...(nameservers.length === 0 ? ['# This sandbox serves no names.'] : []),
    ...nameservers.map(address => `nameserver ${address}`),
    ...(searches.length > 0 ? [`search ${searches.join(' ')}`] : []),
    `options ${['timeout:1', 'attempts:1', ...own].join(' ')}`,
    '',
  ].join('\n')
}

function plan(pod: PodManifest, context: PodContext): PodPlan {
  const { spec } = pod
  const policy = spec.restartPolicy ?? 'Always'
  return {
    hostname: (spec.hostname ?? pod.name).slice(0, MAX_HOSTNAME),
    restartPolicy: policy === 'OnFailure' || policy === 'Never' ? policy : 'Always',
    gracePeriodMs: (spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS) * 1000,
    initContainers: (spec.initContainers ?? []).map(container => planContainer(pod, container, context)),
    containers: spec.containers.map(container => planContainer(pod, container, context)),
  }
}

function planContainer(pod: PodManifest, container: ContainerSpec, context: PodContext): ContainerPlan {
  const declared = environmentOf(pod, container, context)
  const expanded = (texts: readonly string[] | undefined) => texts?.map(text => expand(text, declared))
  const program = programOf(container, expanded(container.command), expanded(container.args))
  if ('unknown' in program) throw new RefusedError('ImageNotAvailable', program.unknown)
  const security = { ...pod.spec.securityContext, ...container.securityContext }
  const uid = security.runAsUser ?? 0
  return {
    name: container.name,
    image: container.image ?? '',
    argv: program.argv,
    environment: { ...baseEnvironment(pod), ...declared },
    directory: container.workingDir ?? '/',
    uid,
    gid: security.runAsGroup ?? uid,
    sidecar: container.restartPolicy === 'Always',
    ...healthOf(container),
  }
}

function healthOf(container: ContainerSpec): Pick<ContainerPlan, 'startup' | 'readiness' | 'liveness' | 'preStop'> {
  const { ports = [], startupProbe, readinessProbe, livenessProbe, lifecycle } = container
  const known = <T extends object>(field: string, plan: T | { readonly unknown: string }): T => {
    if (!('unknown' in plan)) return plan
    throw new RefusedError('CreateContainerConfigError', `container ${container.name}: ${field} ${plan.unknown}`)
  }
  return {
    ...(startupProbe && { startup: known('startupProbe', probeOf(startupProbe, ports)) }),
    ...(readinessProbe && { readiness: known('readinessProbe', probeOf(readinessProbe, ports)) }),
    ...(livenessProbe && { liveness: known('livenessProbe', probeOf(livenessProbe, ports)) }),
    ...(lifecycle?.preStop && { preStop: known('lifecycle.preStop', actionOf(lifecycle.preStop, ports)) }),
  }
}

function baseEnvironment(pod: PodManifest): Record<string, string> {
  return {
    PATH: `${POD_PROGRAMS.searchFolder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: '/tmp',
    HOSTNAME: pod.spec.hostname ?? pod.name,
    AXONEME_POD: `${pod.namespace}/${pod.name}`,
  }
}

function environmentOf(pod: PodManifest, container: ContainerSpec, context: PodContext): Record<string, string> {
  const environment: Record<string, string> = {}
  for (const variable of container.env ?? []) {
    const value = valueOf(variable, pod, container, context)
    if (value === undefined) continue
    environment[variable.name] = variable.valueFrom === undefined ? expand(value, environment) : value
  }
  return environment
}

function valueOf(
  variable: EnvironmentVariable,
  pod: PodManifest,
  container: ContainerSpec,
  context: PodContext,
): string | undefined {
  if (variable.valueFrom === undefined) return variable.value ?? ''
  const fieldPath = variable.valueFrom['fieldRef']?.fieldPath
  if (fieldPath !== undefined) return fieldOf(fieldPath, pod, context)
  const [kind = 'nothing', reference] = Object.entries(variable.valueFrom)[0] ?? []
  if (reference?.optional) return undefined
  throw new RefusedError(
    'CreateContainerConfigError',
    `container ${container.name}: the sandbox has no ${kind.replace(/Ref$/, '')} for variable ${variable.name}`,
  )
}

function fieldOf(path: string, pod: PodManifest, { node, hostAddress, addresses }: PodContext): string {
  const [, map, key = ''] = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path) ?? []
  if (map === 'labels') return pod.labels[key] ?? ''
  if (map === 'annotations') return pod.annotations[key] ?? ''
  const fields: Readonly<Record<string, string>> = {
    'metadata.name': pod.name,
    'metadata.namespace': pod.namespace,
    'metadata.uid': pod.uid ?? '',
    'spec.nodeName': node,
    'spec.serviceAccountName': pod.spec.serviceAccountName ?? 'default',
    'status.podIP': addresses[0] ?? '',
    'status.podIPs': addresses.join(','),
    'status.hostIP': hostAddress,
  }
  const value = fields[path]
  if (value !== undefined) return value
  throw new RefusedError('CreateContainerConfigError', `there is no field ${path} to take a variable from`)
}

/** Kubernetes' own form: `$(NAME)` of a known variable, `$$` for a dollar sign; anything else stays. */
export function expand(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([^()]*)\)/g, (match, name: string | undefined) =>
    name === undefined ? '$' : (variables[name] ?? match),
  )
}
