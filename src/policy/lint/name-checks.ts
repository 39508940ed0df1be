// Names: pods that may not ask for any, names that nothing teaches, and patterns of
// names and requests that match more than they show.

import { matches, PROTOCOLS } from '../../labels/index.ts'
import type { ManifestObject, Path } from '../../manifests/index.ts'
import type { Rule } from '../model/rule.ts'
import { finding, type LintFinding } from './finding.ts'
import type { Landscape } from './landscape.ts'
import type { LintedPolicy, LintedSpec } from './linted-policy.ts'
import { bodyPaths } from './linted-policy.ts'
import { everyField, fieldsOf, itemsOf, valueAt } from './manifest-fields.ts'

const DNS_PORT = 53

/**
 * `no-dns`: pods that some rule lets connect to somebody, and none to a DNS port. One finding a spec that isolates them.
 * Who may connect to nobody at all is meant to.
 */
export function dnsFindings({ policies, subjects }: Landscape): LintFinding[] {
  const specs = policies.flatMap(policy => policy.specs)
  const told = new Map<LintedSpec, string[]>()
  for (const { pod, labels } of subjects) {
    const own = specs.filter(({ spec }) => matches(spec.subject, labels))
    const isolating = own.filter(({ spec }) => spec.isolates.egress)
    const rules = own
      .flatMap(spec => spec.rules)
      .filter(({ rule }) => rule.direction === 'egress' && rule.action === 'allow')
    const [first] = isolating.toSorted((a, b) => countEgress(b) - countEgress(a))
    if (!first || rules.length === 0 || rules.some(({ rule, content }) => opensDns(rule) || asksDns(content))) continue
    if (!rules.some(({ rule }) => rule.peers === 'any' || rule.peers.length > 0)) continue
    told.set(first, [...(told.get(first) ?? []), `${pod.namespace}/${pod.name}`])
  }
  return [...told].map(([{ owner, path }, pods]) => {
    const others = pods.length > 1 ? ` and ${pods.length - 1} more` : ''
    const message = `${pods[0]}${others} may connect to others but not ask DNS for their addresses; allow egress to port 53, UDP and TCP, of the DNS pods`
    return finding('no-dns', owner.object, [...path, 'egress'], message)
  })
}

const countEgress = ({ rules }: LintedSpec): number => rules.filter(({ rule }) => rule.direction === 'egress').length

function opensDns({ ports }: Rule): boolean {
  if (ports === 'any') return true
  return ports.some(({ protocol, ports: match }) => {
    if (protocol !== PROTOCOLS.UDP && protocol !== PROTOCOLS.TCP) return false
    return (
      match === 'any' ||
      ('first' in match ? match.first <= DNS_PORT && DNS_PORT <= match.last : match.name.startsWith('dns'))
    )
  })
}

/** A rule whose requests of DNS are judged; it opens its ports once that is enforced. */
const asksDns = (content: unknown): boolean =>
  [...everyField(content)].some(({ name, value }) => name === 'dns' && Array.isArray(value))

/** `fqdn-without-dns`: a spec with names and neither in it nor in another spec of its pods a DNS rule. */
export function fqdnFindings({ policies, subjects }: Landscape): LintFinding[] {
  const specs = policies.flatMap(policy => policy.specs)
  const bodyOf = ({ owner, path }: LintedSpec) => fieldsOf(valueAt(owner.object.content, path))
  const teaching = specs.filter(spec => asksDns(bodyOf(spec)['egress']))
  return specs.flatMap(spec => {
    const {
      owner,
      path,
      spec: { subject },
    } = spec
    const own = subjects.filter(({ labels }) => matches(subject, labels))
    const isTaught = teaching.some(
      other => other === spec || (own.length > 0 && own.every(({ labels }) => matches(other.spec.subject, labels))),
    )
    if (isTaught) return []
    return itemsOf(bodyOf(spec)['egress']).flatMap((rule, i) =>
      namePaths(rule).map(names => {
        const message =
          'no rule of these pods lets the answers of DNS be seen, so these names never have addresses; ' +
          'add egress to the DNS pods in a CiliumNetworkPolicy with toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchPattern: "*"}]}}]'
        return finding('fqdn-without-dns', owner.object, [...path, 'egress', i, ...names], message)
      }),
    )
  })
}

/** Where names are in a rule: `toFQDNs`, or `domainNames` of its peers. */
function namePaths(rule: unknown): Path[] {
  const { toFQDNs, to } = fieldsOf(rule)
  const domains = itemsOf(to).flatMap((peer, i) => (Array.isArray(fieldsOf(peer)['domainNames']) ? [i] : []))
  return [...(Array.isArray(toFQDNs) ? [['toFQDNs']] : []), ...domains.map(i => ['to', i, 'domainNames'])]
}

/** `regex-dot` and `name-pattern`. */
export function patternFindings({ object }: LintedPolicy): LintFinding[] {
  return bodyPaths(object).flatMap(body =>
    [...everyField(valueAt(object.content, body), body)].flatMap(({ path, name, value }) => {
      if (typeof value !== 'string') return []
      const message =
        name === 'matchPattern'
          ? patternMessage(value)
          : name === 'matchName' && value.includes('*')
            ? `is a name and no pattern: the * stands for itself; write matchPattern: "${value}"`
            : undefined
      if (message) return [finding('name-pattern', object, path, message)]
      return isHttpField(path) ? regexDot(object, path, value) : []
    }),
  )
}

/** `…http[0].host` and `…http[0].path`. */
const isHttpField = (path: Path): boolean =>
  path.at(-3) === 'http' && typeof path.at(-2) === 'number' && (path.at(-1) === 'host' || path.at(-1) === 'path')

function regexDot(object: ManifestObject, path: Path, text: string): LintFinding[] {
  const escaped = escapeDots(text)
  if (escaped === text) return []
  const message = `is a regular expression, in which a dot is any character; write ${escaped} (in double quotes with two backslashes each)`
  return [finding('regex-dot', object, path, message)]
}

/** Escapes each dot that stands between names: not one in brackets, nor one that is repeated. */
export function escapeDots(pattern: string): string {
  let isInClass = false
  let out = ''
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern.charAt(i)
    if (character === '\\') {
      out += pattern.slice(i, i + 2)
      i++
      continue
    }
    if (character === '[') isInClass = true
    if (character === ']') isInClass = false
    const isBare = character === '.' && !isInClass && !/[*+?{]/.test(pattern.charAt(i + 1))
    const isBetweenNames = /[\w)\]*+]/.test(pattern.charAt(i - 1)) && /[\w([]/.test(pattern.charAt(i + 1))
    out += isBare && isBetweenNames ? '\\.' : character
  }
  return out
}

function patternMessage(pattern: string): string | undefined {
  if (pattern.startsWith('.*'))
    return 'looks like a regular expression, and is a pattern in which only * is special; write *.example.com'
  if (pattern === '*') return undefined
  if (/^\*[\w-]/.test(pattern))
    return `matches every name that ends so: *${pattern.slice(1)} takes in evil${pattern.slice(1)} too; write *.${pattern.slice(1)} for names below it, and matchName for itself`
  const top = /^\*{1,2}\.([\w-]+)\.?$/.exec(pattern)
  if (top) return `matches every name under ${top[1]}, of whomever; write the whole domain`
  return undefined
}
