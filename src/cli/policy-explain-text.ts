// An explanation in words for people: the verdict first, then what decides at either
// end, what nearly did, and the change that would turn it round.

import {
  type Change,
  conflictWord,
  type Decision,
  type ExplainedEnd,
  type Explanation,
  type Flip,
  isOnlySeen,
  type JudgedSide,
  type MatchingRule,
  type MatchRole,
  type MissedRule,
  type Outcome,
  type PolicyView,
  placeText,
  policyName,
  type RuleView,
  rulesWord,
  type Side,
  seenWord,
  type Unjudged,
} from '../policy/index.ts'
import { colours as pc } from './colours.ts'

/** Most connections named that a change turns round too. */
const NAMED = 5

/** @param options `change: false` leaves out what would turn the verdict round */
export function explanationText(explanation: Explanation, options: { readonly change: boolean }): string {
  const { from, to, egress, ingress, notes, change } = explanation
  return [
    `${pc.bold(endText(from))} → ${pc.bold(endText(to))} ${portText(explanation)}: ${outcomeText(explanation.verdict)}`,
    ...notes.map(note => pc.yellow(`note: ${note}`)),
    '',
    ...sideLines('egress', from, egress),
    '',
    ...sideLines('ingress', to, ingress),
    ...(options.change ? ['', ...changeLines(explanation, change)] : []),
  ].join('\n')
}

const endText = ({ kind, name, address }: ExplainedEnd): string =>
  kind === 'world' ? `world ${address}` : `${name} (${address})`

const portText = ({ protocol, port }: Pick<Explanation, 'protocol' | 'port'>): string =>
  protocol.startsWith('ICMP') ? `${protocol} type ${port}` : `${port}/${protocol}`

export function outcomeText(outcome: Outcome): string {
  if (outcome === 'allowed') return pc.green('allowed')
  if (outcome === 'judged') return pc.green('allowed, as far as rules allow what is said')
  return outcome === 'denied' ? pc.red('denied') : pc.yellow('audited: would be denied, passes')
}

const UNJUDGED: Readonly<Record<Unjudged, string>> = {
  outside: 'not a pod of the cluster, so no policy is asked',
  node: 'a node, or a pod on its network: no policy applies to it',
  'own-node': "always let in: it comes from a process of the pod's own node",
  itself: 'a pod always reaches itself, without leaving its network namespace',
}

function sideLines(direction: string, { name }: ExplainedEnd, side: Side): string[] {
  const title = pc.bold(`${direction} of ${name}:`)
  if (!side.judged) return [`${title} ${UNJUDGED[side.because]}`]
  return [
    `${title} ${outcomeText(side.verdict)}`,
    ...decisionLines(side),
    ...(side.rules && isOnlySeen(side.rules)
      ? [`${seenWord(side.rules)}: the pod's visibility asks for it, and allows everything`]
      : []),
    ...(side.rules?.audit ? [`${rulesWord(side.rules)}: what they would deny passes, and is recorded`] : []),
    ...matchingLines(side),
    ...missedLines(side),
  ].map((line, i) => (i === 0 ? line : `  ${line}`))
}

function decisionLines(side: JudgedSide): string[] {
  const { decision, isolatedBy } = side
  if (decision.kind === 'rule') return [`${pc.bold('decides')}  ${ruleText(decision.rule)}`]
  if (decision.kind === 'conflict')
    return [
      `${conflictWord(decision.rules)} are about the same peer and port, and nobody can judge by both:`,
      ...decision.rules.map(rule => `  ${ruleText(rule)}`),
    ]
  if (decision.kind === 'not-isolated') return ['no policy isolates it in this direction, and no rule says otherwise']
  if (isolatedBy.length === 0) return ['no rule allows it, and the enforcement mode "always" isolates every pod']
  return ['no rule allows it; isolated by', ...isolatedBy.map(policy => `  ${policyText(policy)}`)]
}

/** For lists: who decides, in few words. */
export function decisionText(decision: Decision): string {
  if (decision.kind === 'rule') return ruleText(decision.rule)
  if (decision.kind === 'conflict') return conflictWord(decision.rules)
  return decision.kind === 'not-isolated' ? 'nothing isolates it' : 'no rule allows it'
}

const ROLES: Readonly<Record<Exclude<MatchRole, 'decides'>, string>> = {
  tie: 'as strong, says the same',
  judges: 'allows it too, by rules of its own',
  lifted: 'as strong; its rules for what is said do not count, since another has none',
  conflicts: 'as strong, and nobody can judge by both',
  passes: 'passes it on to the next tier',
  skipped: 'matches, but is not asked',
  audited: 'matches, but is only tried out',
  shadowed: 'matches, but is weaker',
}

function matchingLines({ matching }: JudgedSide): string[] {
  return matching.flatMap((rule: MatchingRule) =>
    rule.role === 'decides' ? [] : [`${pc.dim(ROLES[rule.role])}  ${ruleText(rule)}`],
  )
}

function missedLines({ missed, missedCount }: JudgedSide): string[] {
  if (missed.length === 0) return []
  const more = missedCount - missed.length
  return [
    'rules that might have allowed it, the nearest first:',
    ...missed.flatMap((rule: MissedRule) => [
      `  ${ruleText(rule)}`,
      ...rule.because.map(({ part, wants, has }) => `    ${part}: wants ${pc.green(wants)}; it is ${pc.red(has)}`),
    ]),
    ...(more > 0 ? [`  and ${more} more`] : []),
  ]
}

/** `NetworkPolicy shop/web (web.yaml:3)`. */
export function policyText(policy: PolicyView): string {
  return `${policyName(policy)}${placeText(policy)}${policy.audit ? ', only tried out' : ''}`
}

function ruleText({ policy, path, file, line, action, tier, priority, audit, log }: RuleView): string {
  const place = placeText({ file, line })
  const facts = [
    action,
    ...(tier === 'normal' ? [] : [`${tier} tier, priority ${priority}`]),
    ...(audit ? ['only tried out'] : []),
    ...(log === undefined ? [] : [`log "${log}"`]),
  ]
  return `${policyText({ ...policy, file: '', audit: undefined })} ${path}${place}: ${facts.join(', ')}`
}

function changeLines({ from, to, protocol, port }: Explanation, change: Change): string[] {
  if (!change.possible) return [`No change that would ${change.to} it is offered: ${change.because}.`]
  const { yaml, also, alsoCount, world, instead } = change
  const isAsked = (flip: Flip): boolean => flip.from === from.name && flip.to === to.name
  const others = [...new Set(also.filter(flip => !isAsked(flip)).map(flip => `${flip.from} → ${flip.to}`))]
  const family = also.find(isAsked)?.family
  return [
    `To ${change.to} it, apply ${change.objects.length === 1 ? 'this' : 'these together'}:`,
    '',
    ...yamlLines(yaml),
    '',
    ...(family ? [`That holds over IPv${family} too.`] : []),
    ...(world ? ['It holds for every address outside the cluster.'] : []),
    others.length === 0
      ? 'Nothing else changes.'
      : `Others have the same labels, so ${portText({ protocol, port })} changes for them too: ${listText(others, alsoCount - also.length)}.`,
    ...instead.flatMap(({ policy, path, yaml: rule }) => [
      '',
      `Or add this to ${path} of ${policyText(policy)}:`,
      '',
      ...yamlLines(rule),
    ]),
  ]
}

const yamlLines = (yaml: string): string[] =>
  yaml
    .trimEnd()
    .split('\n')
    .map(line => pc.cyan(line))

function listText(names: readonly string[], unnamed: number): string {
  const more = Math.max(0, names.length - NAMED) + unnamed
  return names.slice(0, NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
