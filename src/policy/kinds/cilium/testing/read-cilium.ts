// For tests of the Cilium kinds: policies from the text of their specs, and what was
// read of them in short.

import { formatProblem, type ManifestObject, type Problem, parseManifests } from '../../../../manifests/index.ts'
import type { Peer, Policy, PortMatch } from '../../../model/rule.ts'
import { readPolicy } from '../../read-policy.ts'

export const NS = 'k8s:io.kubernetes.pod.namespace'
export const SHOP = `${NS} = shop`

type Options = {
  readonly clusterwide?: true | undefined
  readonly annotations?: string | undefined
  readonly name?: string | undefined
}

/** Text of a policy, `shop/web` unless clusterwide, from that of its `spec` or `specs`, which begins on line 4. */
export function policyText(text: string, { clusterwide, annotations = '{}', name = 'web' }: Options = {}): string {
  const kind = clusterwide ? 'CiliumClusterwideNetworkPolicy' : 'CiliumNetworkPolicy'
  const namespace = clusterwide ? '' : ', namespace: shop'
  return `apiVersion: cilium.io/v2\nkind: ${kind}\nmetadata: {name: ${name}${namespace}, annotations: ${annotations}}\n${text}`
}

/** The one object of a text. */
export function objectOf(text: string): ManifestObject {
  const { objects, problems } = parseManifests(text, 'policy.yaml')
  const [object] = objects
  if (!object || problems.length > 0) throw new Error(problems.map(formatProblem).join('\n') || 'no object')
  return object
}

type Read = { readonly value?: Policy; readonly problems: readonly Problem[] }

function read(text: string, options: Options): Read & { readonly texts: readonly string[] } {
  const result: Read = readPolicy(objectOf(policyText(text, options))) ?? { problems: [] }
  return { ...result, texts: result.problems.map(formatProblem) }
}

/** A policy that is valid and of which as many warnings are told. */
export function valid(
  text: string,
  { warnings = 0, ...options }: Options & { readonly warnings?: number | undefined } = {},
): Policy {
  const { value, texts } = read(text, options)
  if (!value || texts.length !== warnings) throw new Error(`not as expected: ${texts.join('\n')}`)
  return value
}

/** The errors of a policy that is refused. */
export function refused(text: string, options: Options = {}): string[] {
  const { value, problems } = read(text, options)
  const errors = problems.filter(({ severity }) => severity === 'error')
  if (value || errors.length === 0) throw new Error('is not refused')
  return errors.map(formatProblem)
}

/** The rules of all specs: `PATH ACTION`, peers and ports in short. */
export function brief({ specs }: Policy): { rule: string; peers: unknown; ports: unknown }[] {
  return specs
    .flatMap(({ rules }) => rules)
    .map(({ path, action, peers, ports }) => ({
      rule: `${path} ${action}`,
      peers: peers === 'any' ? peers : peers.map(briefPeer),
      ports: ports === 'any' ? ports : ports.map(briefPort),
    }))
}

function briefPeer(peer: Peer): string {
  if (peer.kind === 'selector') return peer.selector.key
  if (peer.kind === 'service') {
    const { service } = peer
    const name = 'name' in service ? service.name : `of ${service.selector.key}`
    return `service ${name} in ${service.namespace ?? 'any namespace'}`
  }
  const except = peer.except.map(cidr => `!${cidr}`)
  if (peer.kind === 'cidr') return [`${peer.covers} ${peer.cidr}`, ...except].join(' ')
  return [`group ${'name' in peer.group ? peer.group.name : peer.group.selector.key}`, ...except].join(' ')
}

function briefPort({ protocol, ports }: PortMatch): string {
  if (ports === 'any') return `${protocol} any`
  return `${protocol} ${'name' in ports ? ports.name : `${ports.first}-${ports.last}`}`
}
