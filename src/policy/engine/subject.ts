// Whose policy is resolved, and to what.

import { type LabelSet, type NamedPort, namedPortTexts } from '../../labels/index.ts'
import type { Visibility } from '../model/l7.ts'
import type { Audit } from '../model/rule.ts'
import type { PolicyEntry } from './entries.ts'
import type { IsolatedBy } from './isolation.ts'

/**
 * Whose policy: its labels, without those of addresses, and the named ports that ingress rules may mean. `audit`: what is
 * denied there is recorded and passes, as the annotation of its namespace asks.
 */
export type Subject = Audit & {
  readonly labels: LabelSet
  readonly namedPorts: readonly NamedPort[]
  /** Ports where what is said is to be seen. */
  readonly visibility?: readonly Visibility[] | undefined
}

/** Canonical text of a subject. */
export function subjectKey({ labels, namedPorts, audit, visibility = [] }: Subject): string {
  const seen = visibility.length > 0 ? `\nvisible ${visibilityText(visibility)}` : ''
  return `${labels.key}\n${namedPortTexts(namedPorts).join()}${audit ? '\naudit' : ''}${seen}`
}

/** Canonical text of ports where what is said is to be seen: `egress 80/6 http`. */
export function visibilityText(visibility: readonly Visibility[]): string {
  const texts = visibility.map(({ direction, port, protocol, parser }) => `${direction} ${port}/${protocol} ${parser}`)
  return [...new Set(texts)].sort().join()
}

/** The policy of a subject: the entries that a kernel needs, and who isolates it. */
export type ResolvedPolicy = {
  /** Names the content of `entries`: equal exactly when they are, in every process. */
  readonly key: string
  /** Sorted by direction, identity, protocol, port and prefix length. Equal keys share the array. */
  readonly entries: readonly PolicyEntry[]
  /**
   * Policies that deny the subject what no rule allows, in the order of their names; `audit` with those whose denials
   * pass. Where there is none and the default denies nonetheless, the enforcement mode is `always`.
   */
  readonly isolatedBy: IsolatedBy
}
