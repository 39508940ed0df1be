// Rules for what is said that no proxy can judge by: of different protocols, or with TLS
// that is to end in different ways, and about the same connection.

import { conflictAdvice } from '../cluster/deciders.ts'
import { languageOf } from '../engine/l7-rules.ts'
import { placeText, policyName } from '../model/rule.ts'
import { alikeIn, type Cell } from './cells.ts'
import { finding, type LintFinding } from './finding.ts'
import type { LintedRule } from './linted-policy.ts'

/** `protocol-conflict`: once for each pair of rules. */
export function protocolFindings(cells: readonly Cell[]): LintFinding[] {
  const told = new Map<string, LintFinding>()
  for (const cell of cells) {
    const first = cell.find(({ rule }) => rule.action === 'allow')
    if (!first?.rule.l7) continue
    const alike = alikeIn(first, cell)
    const other = alike.find(
      ({ rule }) => rule.l7 && first.rule.l7 && languageOf(rule.l7) !== languageOf(first.rule.l7),
    )
    if (!other || alike.some(({ rule }) => !rule.l7) || isDenied(cell, first)) continue
    told.set(`${first.rule.key} ${other.rule.key}`, conflictFinding(other, first))
  }
  return [...told.values()]
}

const isDenied = (cell: Cell, { rule }: LintedRule): boolean =>
  cell.some(other => other.rule.action === 'deny' && other.rule.precedence > rule.precedence)

function conflictFinding(later: LintedRule, { rule, in: { owner } }: LintedRule): LintFinding {
  const name = owner === later.in.owner ? rule.path : `${policyName(rule.policy)} ${rule.path}${placeText(rule.origin)}`
  const { differs, instead } = conflictAdvice(later.rule, rule)
  const message =
    `${differs} ${name} about the same peers and port: nobody can judge by both, so these connections are denied; ` +
    `give them ${instead}, or different ports`
  return finding('protocol-conflict', later.in.owner.object, later.place, message)
}
