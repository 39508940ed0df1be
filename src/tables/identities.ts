// Identities in use on this node, and the identity of every address and prefix: the
// content that the ipcache is to have. Both are written by controllers/identities.ts.

import { identityName, type LabelSet, labelTexts } from '../labels/index.ts'
import { defineTable } from '../state/index.ts'

export type Identity = { readonly number: number; readonly labels: LabelSet }

export type Address = {
  /** Canonical prefix, such as `10.0.0.7/32` or `::/0`. */
  readonly prefix: string
  readonly identity: number
  /** An address of this node. */
  readonly isHost: boolean
  /** Who has it: `pod default/web`, `node node1`, `world`, `policy`. */
  readonly owner: string
}

export const identityTable = defineTable({
  name: 'identities',
  key: (identity: Identity) => String(identity.number),
  indexes: { labels: identity => [identity.labels.key] },
  columns: {
    NUMBER: identity => String(identity.number),
    NAME: identity => identityName(identity.labels),
    LABELS: identity => labelTexts(identity.labels).join(' '),
  },
  equal: (a, b) => a.number === b.number && a.labels.key === b.labels.key,
})

export const addressTable = defineTable({
  name: 'addresses',
  key: (address: Address) => address.prefix,
  indexes: { identity: address => [String(address.identity)] },
  columns: {
    PREFIX: address => address.prefix,
    IDENTITY: address => String(address.identity),
    OWNER: address => address.owner,
    HOST: address => (address.isHost ? 'yes' : ''),
  },
  // Each change compares them all.
  equal: (a, b) => a.prefix === b.prefix && a.identity === b.identity && a.isHost === b.isHost && a.owner === b.owner,
})
