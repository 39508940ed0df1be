// Of the identities that policy maps know, those that addresses of names may have, for
// the DNS server to give while no agent is there. Pure.

import type { OutsideIdentity } from '../dns/index.ts'
import { labelSet, labelValue } from '../labels/index.ts'
import type { Identity } from '../tables/index.ts'

/** Told which identities policy maps know, before some are taken out of them, and after others are in them. */
export type IdentityAudience = {
  /** No others will be known from now on. */
  restrict(identities: readonly OutsideIdentity[]): void
  /** All of these are in force. */
  publish(identities: readonly OutsideIdentity[]): void
}

export function outsideIdentitiesOf(identities: readonly Identity[]): OutsideIdentity[] {
  const numbers = new Map(identities.map(({ number, labels }) => [labels.key, number]))
  return identities.flatMap(({ number, labels }) => {
    if (labelValue(labels, 'reserved', 'world') === undefined) return []
    const selectors = labels.labels.flatMap(({ source, key }) => (source === 'fqdn' ? [key] : []))
    if (selectors.length === 0) return []
    const base = numbers.get(labelSet(labels.labels.filter(({ source }) => source !== 'fqdn')).key)
    return base === undefined ? [] : [{ number, base, selectors: selectors.sort() }]
  })
}
