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
    ...groups.flatMap(group => groupLines(word, group, familyCount)),
  ]
}

function groupLines(word: string, { peers, answers }: PeerGroup, familyCount: number): string[] {
  const names = peers.map(peer => `${peerText(peer)}${familyText(peer, familyCount)}`)
  return [`  ${word} ${names.join(', ')}`, ...answers.map(answer => `    ${answerText(answer)}`)]
}

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
