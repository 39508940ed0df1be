// Rules that are wider than they look: everybody, every namespace, pods that merely lack
// a label, wide ranges of ports, two peers instead of one.

import { TRANSPORTS } from '../../labels/index.ts'
import type { Path } from '../../manifests/index.ts'
import type { Rule } from '../model/rule.ts'
import { finding, type LintFinding } from './finding.ts'
import type { LintedPolicy, LintedRule, LintedSpec } from './linted-policy.ts'
import { everyField, type Fields, fieldsOf, isFields, itemsOf, valueAt } from './manifest-fields.ts'

/** `any-peer`, `whole-cluster`, `negative-selector`, `wide-ports` and `or-not-and`. */
export function breadthFindings({ specs }: LintedPolicy): LintFinding[] {
  return specs.flatMap(spec => [
    ...wholeClusterSubject(spec),
    ...spec.rules
      .filter(({ rule, isEnforced }) => rule.action === 'allow' && isEnforced)
      .flatMap(rule => [
        ...anyPeer(rule),
        ...widePorts(rule),
        ...peerFields(rule).flatMap(({ path, name, items }) => [
          ...wholeClusterPeers(rule, path, items),
          ...orNotAnd(rule, path, name, items),
        ]),
        ...negativeSelectors(rule),
      ]),
  ])
}

const PEER_FIELD = /^(from|to)([A-Z]\w*)?$/
const PORT_FIELDS: ReadonlySet<string> = new Set(['toPorts', 'ports', 'protocols'])

type PeerField = { readonly path: Path; readonly name: string; readonly items: readonly unknown[] }

function peerFields({ content, path }: LintedRule): PeerField[] {
  return Object.entries(content)
    .filter(([name]) => PEER_FIELD.test(name) && !PORT_FIELDS.has(name))
    .map(([name, value]) => ({ path: [...path, name], name, items: itemsOf(value) }))
}

/** Asking for names is harmless, and destinations of one's own choice are what most pods have. */
function anyPeer(linted: LintedRule): LintFinding[] {
  const { rule, path, in: spec } = linted
  if (rule.peers !== 'any' || (rule.direction === 'egress' && onlyDns(rule))) return []
  const written = peerFields(linted)[0]
  // Who writes `all` knows what it means.
  if (written && written.items.length > 0) return []
  const field = rule.direction === 'ingress' ? 'from' : 'to'
  const how = written ? `${written.name} is empty` : `has no ${field}`
  const whom = rule.direction === 'ingress' ? 'everybody may connect' : 'every destination is allowed'
  const message = `${how}: ${whom}, outside the cluster too; name the peers that are meant`
  return [finding('any-peer', spec.owner.object, written?.path ?? path, message)]
}

const onlyDns = ({ ports }: Rule): boolean =>
  ports !== 'any' &&
  ports.every(({ ports: match }) => match !== 'any' && 'first' in match && match.first === 53 && match.last === 53)

const MOST_PORTS = 1000

function widePorts({ rule, path, content, in: spec }: LintedRule): LintFinding[] {
  if (rule.direction !== 'ingress' || rule.ports === 'any') return []
  const widths = new Map<string, LintFinding>()
  for (const { protocol, ports } of rule.ports) {
    if (ports === 'any' || !('first' in ports) || !TRANSPORTS.has(protocol)) continue
    const { first, last } = ports
    if (last - first < MOST_PORTS) continue
    const at = [...everyField(content)].find(
      ({ name, value }) => (name === 'endPort' || name === 'end') && value === last,
    )
    const message = `opens ${last - first + 1} ports, ${first} to ${last}; write the ports that are served`
    widths.set(message, finding('wide-ports', spec.owner.object, at ? [...path, ...at.path] : path, message))
  }
  return [...widths.values()]
}

/** In the kinds of a cluster an empty selector is not bound to a namespace. */
function wholeClusterSubject({ owner, spec, path, subjectPath }: LintedSpec): LintFinding[] {
  const isolates = spec.isolates.ingress || spec.isolates.egress
  const selector = valueAt(owner.object.content, [...path, 'endpointSelector'])
  if (owner.policy.ref.namespace !== '' || !isEmptySelector(selector) || !isolates) return []
  const message =
    'selects every pod of every namespace, those of the system too, and isolates them; select by namespace labels'
  return [finding('whole-cluster', owner.object, subjectPath, message)]
}

function wholeClusterPeers({ in: spec }: LintedRule, path: Path, items: readonly unknown[]): LintFinding[] {
  const isClusterWide = spec.owner.policy.ref.namespace === ''
  return items.flatMap((item, i) => {
    const at = [...path, i]
    const { namespaceSelector, podSelector, namespaces, pods } = fieldsOf(item)
    const nested = fieldsOf(pods)
    const ofEndpoints = String(path.at(-1)).endsWith('Endpoints')
    const found = [
      { selector: namespaceSelector, field: [...at, 'namespaceSelector'], beside: podSelector },
      { selector: namespaces, field: [...at, 'namespaces'], beside: undefined },
      {
        selector: nested['namespaceSelector'],
        field: [...at, 'pods', 'namespaceSelector'],
        beside: nested['podSelector'],
      },
      { selector: isClusterWide && ofEndpoints ? item : undefined, field: at, beside: undefined },
    ].find(({ selector }) => isEmptySelector(selector))
    if (!found) return []
    const isBare = found.beside === undefined || isEmptySelector(found.beside)
    const whom = isBare ? 'every pod of every namespace' : 'pods of every namespace that have these labels'
    return [
      finding('whole-cluster', spec.owner.object, found.field, `means ${whom}; select namespaces by their labels`),
    ]
  })
}

/** An empty selector selects everything. */
function isEmptySelector(value: unknown): boolean {
  if (!isFields(value)) return false
  const { matchLabels, matchExpressions, ...others } = value
  return (
    Object.keys(others).length === 0 &&
    Object.keys(fieldsOf(matchLabels)).length === 0 &&
    itemsOf(matchExpressions).length === 0
  )
}

/** The dash too many: a namespaceSelector and a podSelector as two items allow each on its own. */
function orNotAnd({ in: spec }: LintedRule, path: Path, name: string, items: readonly unknown[]): LintFinding[] {
  if (name !== 'from' && name !== 'to') return []
  return items.flatMap((item, i) => {
    const [one, next] = [fieldNames(item), fieldNames(items[i + 1])]
    const pair = [one, next].sort().join(' and ')
    if (pair !== 'namespaceSelector and podSelector') return []
    const message =
      'two items mean either one: all pods of those namespaces, and those pods of the own namespace; ' +
      'for pods that are both, take away the dash before the second selector'
    return [finding('or-not-and', spec.owner.object, [...path, i + 1], message)]
  })
}

const fieldNames = (item: unknown): string => Object.keys(fieldsOf(item)).join()

function negativeSelectors({ content, path, in: spec }: LintedRule): LintFinding[] {
  const found = [...everyField(content)].filter(({ name }) => name === 'matchExpressions')
  return found.flatMap(({ path: at, value }) => {
    const expressions = itemsOf(value).map(fieldsOf)
    const isBound = (key: unknown): boolean =>
      expressions.some(other => other['key'] === key && (other['operator'] === 'In' || other['operator'] === 'Exists'))
    return expressions.flatMap((expression, i) => {
      const message = negativeMessage(expression, isBound(expression['key']))
      return message ? [finding('negative-selector', spec.owner.object, [...path, ...at, i], message)] : []
    })
  })
}

function negativeMessage(expression: Fields, isBound: boolean): string | undefined {
  const { operator, values } = expression
  const key = String(expression['key'])
  if (operator === 'NotIn' && !isBound)
    return `allows whoever has no label ${key} too, not only other values than ${itemsOf(values).join(', ')}; add {key: ${key}, operator: Exists}, or name who is meant with In`
  if (operator === 'DoesNotExist')
    return `allows whoever nobody has labelled with ${key}; name who is meant by a label that they have`
  return undefined
}
