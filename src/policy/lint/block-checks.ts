// Blocks of addresses that mean others than they seem to: by their exceptions, or because they lie over pods.

import { type Cidr, cidrContains, formatIp, type IpAddress, parseCidr, parseIp } from '../../ip/index.ts'
import type { ManifestObject, Path } from '../../manifests/index.ts'
import { objectName } from '../../manifests/index.ts'
import { finding, type LintFinding } from './finding.ts'
import type { LintedPolicy, LintedRule } from './linted-policy.ts'
import { fieldsOf, itemsOf } from './manifest-fields.ts'

type Block = { readonly rule: LintedRule; readonly path: Path; readonly cidr: Cidr; readonly except: readonly Cidr[] }

/** Ranges that are not of the Internet (RFC 1918, RFC 4193, link-local). Who excepts one of them means to except all. */
const PRIVATE: Readonly<Record<4 | 6, readonly string[]>> = {
  4: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16'],
  6: ['fc00::/7', 'fe80::/10'],
}

/** Pods whose manifests say their address. */
export type PlacedPod = { readonly name: string; readonly address: IpAddress }

export function placedPods(objects: readonly ManifestObject[]): PlacedPod[] {
  return objects
    .filter(({ apiVersion, kind }) => apiVersion === 'v1' && kind === 'Pod')
    .flatMap(object => {
      const status = fieldsOf(object.content['status'])
      const texts = [status['podIP'], ...itemsOf(status['podIPs']).map(item => fieldsOf(item)['ip'])]
      const addresses = texts.flatMap(text => (typeof text === 'string' ? (parseIp(text) ?? []) : []))
      return addresses.map(address => ({ name: objectName(object), address }))
    })
}

/** `block-misses-pods`, `except-gap` and `except-undone`. */
export function blockFindings({ specs }: LintedPolicy, pods: readonly PlacedPod[]): LintFinding[] {
  const blocks = specs.flatMap(spec => spec.rules).flatMap(blocksOf)
  const allowing = blocks.filter(({ rule }) => rule.rule.action === 'allow')
  return [
    ...blocks.flatMap(block => missedPods(block, pods)),
    ...allowing
      .filter(({ except }) => except.length > 0)
      .flatMap(block => [...gaps(block, pods), ...undone(block, allowing)]),
  ]
}

function blocksOf(rule: LintedRule): Block[] {
  return Object.entries(rule.content).flatMap(([field, value]) =>
    itemsOf(value).flatMap((item, i): Block[] => {
      const isBlock = fieldsOf(item)['ipBlock'] !== undefined
      // A plain list of prefixes says no more than a block without exceptions.
      const isPlain = typeof item === 'string' && field.endsWith('CIDR')
      const { cidr, except } = isPlain
        ? { cidr: item, except: undefined }
        : fieldsOf(isBlock ? fieldsOf(item)['ipBlock'] : item)
      const parsed = typeof cidr === 'string' ? parseCidr(cidr) : undefined
      if (!parsed) return []
      const path = [...rule.path, field, i, ...(isBlock ? ['ipBlock'] : [])]
      return [{ rule, path, cidr: parsed, except: itemsOf(except).flatMap(text => parseCidr(String(text)) ?? []) }]
    }),
  )
}

/** A block of a kind whose blocks mean who is outside the cluster, and yet pods have addresses in it. */
function missedPods({ rule, path, cidr, except }: Block, pods: readonly PlacedPod[]): LintFinding[] {
  const peers = rule.rule.peers === 'any' ? [] : rule.rule.peers
  // All addresses are a way to write the world.
  if (cidr.prefixLength === 0 || !peers.some(peer => peer.kind === 'cidr' && peer.covers === 'world')) return []
  const [pod, ...others] = pods.filter(
    ({ address }) => cidrContains(cidr, address) && !except.some(each => cidrContains(each, address)),
  )
  if (!pod) return []
  const more = others.length > 0 ? ` and ${others.length} more` : ''
  const message =
    `does not mean ${pod.name} at ${formatIp(pod.address.bytes)}${more}: blocks of a ${rule.rule.policy.kind} are for ` +
    'addresses outside the cluster; select pods by their labels'
  return [finding('block-misses-pods', rule.in.owner.object, path, message)]
}

/** A block that leaves out some of the private ranges, or of the pods that it matches, and not the others. */
function gaps({ rule, path, cidr, except }: Block, pods: readonly PlacedPod[]): LintFinding[] {
  const { object } = rule.in.owner
  if (cidr.prefixLength !== 0) return []
  const ranges = PRIVATE[cidr.family].flatMap(text => parseCidr(text) ?? [])
  const touched = ranges.filter(range => except.some(each => cidrContains(range, each) || cidrContains(each, range)))
  const open = ranges.filter(range => !except.some(each => cidrContains(each, range)))
  const isKeptOut = ({ address }: PlacedPod) => except.some(each => cidrContains(each, address))
  const matched = rule.rule.peers === 'any' ? [] : rule.rule.peers
  const coversPods = matched.some(peer => peer.kind === 'cidr' && peer.covers === 'everything')
  const inside = coversPods
    ? pods.filter(({ address }) => address.family === cidr.family && !isKeptOut({ name: '', address }))
    : []
  const at = [...path, 'except']
  const found: LintFinding[] = []
  if (touched.length > 0 && open.length > 0) {
    const names = open.map(({ text }) => text).join(', ')
    found.push(
      finding(
        'except-gap',
        object,
        at,
        `keeps out ${touched.length > 1 ? 'some private ranges' : touched[0]?.text}, and lets in all or part of ${names}; except them too if only the Internet is meant`,
      ),
    )
  }
  const [pod] = inside
  if (pod && touched.length > 0) {
    const others = inside.length > 1 ? ` and ${inside.length - 1} more` : ''
    found.push(
      finding(
        'except-gap',
        object,
        at,
        `lets in ${pod.name} at ${formatIp(pod.address.bytes)}${others}: blocks match pods too; except the range of the pods`,
      ),
    )
  }
  return found
}

/** What is excepted here and let in whole by another block of the policy, for the same direction and ports. */
function undone(block: Block, all: readonly Block[]): LintFinding[] {
  const { rule, path, except } = block
  const ports = JSON.stringify(rule.rule.ports)
  return except.flatMap((prefix, i) => {
    const other = all.find(
      each =>
        each !== block &&
        each.rule.in === rule.in &&
        each.rule.rule.direction === rule.rule.direction &&
        JSON.stringify(each.rule.rule.ports) === ports &&
        cidrContains(each.cidr, prefix) &&
        !each.except.some(own => cidrContains(own, prefix) || cidrContains(prefix, own)),
    )
    if (!other) return []
    const message = `keeps out nothing: the block ${other.cidr.text} of this policy lets ${prefix.text} in; except it there too`
    return [finding('except-undone', rule.in.owner.object, [...path, 'except', i], message)]
  })
}
