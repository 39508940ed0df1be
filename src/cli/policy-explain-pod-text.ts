// Who may reach a pod and whom it may reach, in words for people: first those that
// something is open to, then everybody else in one list.

import type { DirectionReach, PeerGroup, PeerView, PodReach, PortAnswer } from '../policy/index.ts'
import { colours as pc } from './colours.ts'
import { decisionText, outcomeText, policyText } from './policy-explain-text.ts'

export function podReachText({ pod, addresses, ingress, egress, unenforced }: PodReach): string {
  return [
    `${pc.bold(pod.name)} (${addresses.join(', ')})`,
    '',
    ...directionLines('may be reached by', 'from', ingress, addresses.length),
    '',
    ...directionLines('may reach', 'to', egress, addresses.length),
    ...unenforced.map(({ policy, path, reason }) =>
      pc.yellow(`\nnot enforced yet: ${policyText(policy)} ${path}: ${reason}`),
    ),
  ].join('\n')
}

function directionLines(
  title: string,
  word: string,
  { isolatedBy, groups }: DirectionReach,
  familyCount: number,
): string[] {
  const isolation = isolatedBy.length === 0 ? 'no policy isolates it' : 'isolated by'
  return [
    `${pc.bold(title)} (${isolation}${isolatedBy.length === 0 ? ')' : ''}`,
    ...isolatedBy.map((policy, i) => `    ${policyText(policy)}${i === isolatedBy.length - 1 ? ')' : ''}`),
    ...fewerGroups(groups).flatMap(group => groupLines(word, group, familyCount)),
  ]
}

/** Those that nothing is open to in one list, where there are many ways to be denied. */
function fewerGroups(groups: readonly PeerGroup[]): readonly (PeerGroup | Closed)[] {
  const closed = groups.filter(({ answers }) => answers.every(({ verdict }) => verdict === 'denied'))
  if (closed.length <= MOST_CLOSED) return groups
  const open = groups.filter(group => !closed.includes(group))
  return [...open, { peers: closed.flatMap(({ peers }) => peers), answers: [] }]
}

/** Denied for different reasons, which would fill pages. */
type Closed = { readonly peers: readonly PeerView[]; readonly answers: readonly [] }

const MOST_CLOSED = 3
/** Most peers that are named in one line. */
const MOST_NAMED = 12

function groupLines(word: string, { peers, answers }: PeerGroup | Closed, familyCount: number): string[] {
  const byText = Map.groupBy(peers, peerText)
  const all = [...byText].flatMap(([text, alike]) =>
    // The addresses of both families may be told apart somewhere, and yet have the same answers.
    alike.length === familyCount ? [text] : alike.map(peer => `${text}${familyText(peer, familyCount)}`),
  )
  const names = all.slice(0, MOST_NAMED)
  const more = all.length > MOST_NAMED ? [`and ${all.length - MOST_NAMED} more; -o json names all of them`] : []
  const lines = answers.map(answer => `    ${answerText(answer)}`)
  return [`  ${word} ${[...names, ...more].join(', ')}`, ...(lines.length > 0 ? lines : [`    ${CLOSED}`])]
}

const CLOSED = `everything: ${outcomeText('denied')}  ${pc.dim('by the policies of this pod, of theirs, or of both')}`

/** Where a pod's two addresses have different answers. */
function familyText({ kind, families: [family, other] }: PeerView, familyCount: number): string {
  return kind === 'world' || other !== undefined || familyCount === 1 ? '' : ` over IPv${family}`
}

/** Two kinds of pods may have one name; then their pods tell them apart. */
function peerText({ kind, name, members, memberCount }: PeerView): string {
  if (kind !== 'pods') return pc.bold(name)
  const [first] = members
  if (memberCount === 1 && first) return pc.bold(first)
  const more = memberCount - members.length
  return `${pc.bold(name)} (${memberCount} pods: ${members.join(', ')}${more > 0 ? ' …' : ''})`
}

function answerText({ ports, verdict, egress, ingress }: PortAnswer): string {
  const isPlain = (decision: PortAnswer['egress']): boolean => decision?.kind === 'not-isolated'
  const reasons = [
    ...(egress && !isPlain(egress) ? [`egress: ${decisionText(egress)}`] : []),
    ...(ingress && !isPlain(ingress) ? [`ingress: ${decisionText(ingress)}`] : []),
  ]
  return [`${ports.join(', ')}: ${outcomeText(verdict)}`, ...reasons.map(reason => pc.dim(reason))].join('  ')
}
