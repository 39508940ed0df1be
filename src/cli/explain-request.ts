// Why a request is allowed or denied: what the rules for what is said answer at either
// end of a connection that addresses and ports allow, as data and in words.

import { stringify } from 'yaml'
import {
  type AskedRequest,
  type NearRule,
  narrowestRule,
  type RequestAnswer,
  type RequestRule,
  whyRequest,
} from '../observe/index.ts'
import {
  DIRECTIONS,
  type Direction,
  type Explanation,
  type JudgedSide,
  type L7Rules,
  type L7Source,
  type MatchingRule,
  type PolicyView,
  placeText,
  policyKey,
  policyName,
  type Side,
  VISIBILITY,
} from '../policy/index.ts'
import { askedText } from './asked-request.ts'
import { colours as pc } from './colours.ts'
import { outcomeText } from './policy-explain-text.ts'

/** What the rules of one end say of the request. */
export type RequestSide = {
  readonly direction: Direction
  /** `NAMESPACE/POD`. */
  readonly pod: string
  readonly answer: RequestAnswer
  /** Its rules are only tried out: what they deny passes, and is recorded. */
  readonly audit?: true
  /** Of a denial, where a rule can allow such a request. */
  readonly change?: RequestChange
}

/** The narrowest rule that would allow the request at one end, for a list of the policy rule that came nearest. */
export type RequestChange = {
  readonly policy: PolicyView
  /** The list, such as `spec.ingress[0].toPorts[0].rules.http`. */
  readonly path: string
  /** To be added to it. */
  readonly item: RequestRule['item']
}

export type RequestExplanation = {
  readonly asked: AskedRequest
  /** `audited`: it passes, and is recorded as what would be denied. */
  readonly verdict: 'allowed' | 'denied' | 'audited'
  /** The connection itself is denied, so nothing can be asked on it. */
  readonly connectionDenied: boolean
  /** Ends that have rules for what is said. */
  readonly sides: readonly RequestSide[]
}

export function explainRequest(explanation: Explanation, asked: AskedRequest): RequestExplanation {
  const sides = [...DIRECTIONS].reverse().flatMap((direction): RequestSide[] => {
    const side = explanation[direction]
    if (!side.judged || !side.rules) return []
    const { audit } = side.rules
    const answer = whyRequest(side.rules, asked)
    const change = answer.allowed ? undefined : changeFor(asked, side, answer.nearest[0])
    return [{ direction, pod: side.pod, answer, ...(audit && { audit }), ...(change && { change }) }]
  })
  const connectionDenied = explanation.verdict === 'denied'
  const denying = sides.filter(({ answer }) => !answer.allowed)
  const isDenied = connectionDenied || denying.some(({ audit }) => !audit)
  return { asked, verdict: isDenied ? 'denied' : denying.length > 0 ? 'audited' : 'allowed', connectionDenied, sides }
}

function changeFor(asked: AskedRequest, side: JudgedSide, nearest: NearRule | undefined): RequestChange | undefined {
  const rule = narrowestRule(asked)
  const view = nearest && viewOf(nearest, side)
  if (!rule || !view || partsUnited(rule, side)) return undefined
  const path = view.path.startsWith('specs') ? view.path : `spec.${view.path}`
  return { policy: view.policy, path: `${path}.${rule.list}`, item: rule.item }
}

/** Rules with TLS are united only where their names of servers are the same: one of several cannot be given another alone. */
function partsUnited({ list }: RequestRule, { rules }: JudgedSide): boolean {
  if (list !== 'serverNames' || rules?.parser !== 'http') return false
  return new Set(rules.rules.map(({ rule }) => rule)).size > 1
}

/** The policy rule that a rule for what is said stands in. */
const viewOf = ({ rule }: L7Source, side: JudgedSide): MatchingRule | undefined =>
  side.matching.find(({ policy, path }) => `${policyKey(policy)}/${path}` === rule)

export function requestText(request: RequestExplanation, explanation: Explanation): string {
  const { asked, verdict, connectionDenied, sides } = request
  const outcome = outcomeText(verdict)
  const nobody = connectionDenied ? 'the connection is denied already' : 'no rules judge what is said there'
  return [
    `${pc.bold(askedText(asked))}: ${outcome}`,
    ...(sides.length === 0 || connectionDenied ? [`  ${nobody}`] : []),
    ...sides.flatMap(side => answerLines(side, explanation)),
    ...(connectionDenied ? [] : sides.flatMap(changeLines)),
  ].join('\n')
}

function changeLines({ change, audit }: RequestSide): string[] {
  if (!change) return []
  const { policy, path, item } = change
  return [
    '',
    `  To ${audit ? 'have it allowed when they are enforced' : 'allow it'}, add this to ${path} of ${policyName(policy)}${placeText(policy)}:`,
    '',
    // 1.1 is what Kubernetes' tools read.
    ...stringify([item], { version: '1.1', lineWidth: 0 })
      .trimEnd()
      .split('\n')
      .map(line => `  ${pc.cyan(line)}`),
  ]
}

function answerLines({ direction, pod, answer, audit }: RequestSide, explanation: Explanation): string[] {
  const side = explanation[direction]
  const tls = side.judged && side.rules ? tlsText(side.rules) : undefined
  return [
    ...judgementLines({ direction, pod, answer, ...(audit && { audit }) }, side),
    ...(tls === undefined ? [] : [`    ${tls}`]),
  ]
}

/** Where TLS ends and begins; undefined where it passes unopened, or there is none. */
function tlsText(rules: L7Rules): string | undefined {
  if (rules.parser !== 'http') return undefined
  const [ends, begins] = [rules.terminating, rules.originating].map(
    context => context && `Secret ${context.secret.namespace}/${context.secret.name}`,
  )
  if (ends !== undefined)
    return begins === undefined
      ? `TLS ends at the proxy (${ends}); from there to the server there is none`
      : `TLS ends at the proxy (${ends}), and TLS to the server begins there (${begins})`
  return begins && `there is no TLS up to the proxy; TLS to the server begins there (${begins})`
}

function judgementLines({ direction, pod, answer, audit }: RequestSide, side: Side): string[] {
  const tried = audit ? pc.yellow(' only tried out:') : ''
  const title = `  ${pc.bold(`${direction} of ${pod}:`)}${tried}`
  const textOf = (source: L7Source): string => sourceText(source, side.judged ? side : undefined)
  if (answer.allowed) return [`${title} ${pc.green('allowed')} by ${textOf(answer.by)}`]
  const { because, nearest, ruleCount } = answer
  if (because !== undefined) return [`${title} ${pc.red('denied')}: ${because}`]
  const more = ruleCount - nearest.length
  return [
    `${title} ${ruleCount === 1 ? 'its one rule for what is said does not allow it' : `none of ${ruleCount} rules for what is said allows it; the nearest first`}:`,
    ...nearest.flatMap((rule: NearRule) => [
      `    ${textOf(rule)}`,
      ...rule.because.map(({ part, wants, has }) => `      ${part}: wants ${pc.green(wants)}; it is ${pc.red(has)}`),
    ]),
    ...(more > 0 ? [`    and ${more} more`] : []),
  ]
}

/** `CiliumNetworkPolicy shop/api ingress[0].toPorts[0].rules.http[1] (api.yaml:9)`. */
function sourceText({ rule, field }: L7Source, side: JudgedSide | undefined): string {
  if (rule === VISIBILITY) return "the pod's visibility, which allows everything"
  const view = side && viewOf({ rule, field }, side)
  if (!view) return `${rule} ${field}`
  return `${policyName(view.policy)} ${view.path}.${field}${placeText({ file: view.file, line: view.l7Lines?.[field] ?? view.line })}`
}
