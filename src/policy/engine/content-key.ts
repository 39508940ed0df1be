// A key that names the content of a policy map: equal for equal entries, in every
// process and after every restart, so that endpoints can share a map and an agent can
// recognise one that it finds in the kernel.

import { type PolicyEntry } from './entries.ts'
import { treatmentKey } from './port-space.ts'
import { sha256 } from './sha256.ts'

const ENTRY_BYTES = 20

/** 128 bits of SHA-256 over the entries in their order, as 32 hexadecimal digits. */
export function contentKey(entries: readonly PolicyEntry[]): string {
  const outcomes = new Map<string, number>()
  const rows = new DataView(new ArrayBuffer(entries.length * ENTRY_BYTES))
  for (const [i, entry] of entries.entries()) {
    const at = i * ENTRY_BYTES
    // A rule's key has no control characters, so the two can be told apart.
    const outcome = entry.treatment ? `${entry.rule}\0${treatmentKey(entry.treatment)}` : entry.rule
    let number = outcomes.get(outcome)
    if (number === undefined) {
      number = outcomes.size
      outcomes.set(outcome, number)
    }
    rows.setUint8(at, entry.direction === 'ingress' ? 0 : 1)
    rows.setUint8(at + 1, entry.verdict === 'allow' ? 1 : 0)
    rows.setUint8(at + 2, entry.protocol)
    rows.setUint8(at + 3, entry.portPrefixLength)
    rows.setUint16(at + 4, entry.port)
    rows.setUint32(at + 8, entry.identity)
    rows.setUint32(at + 12, entry.precedence)
    rows.setUint32(at + 16, number)
  }
  const names = new TextEncoder().encode(JSON.stringify([...outcomes.keys()]))
  const message = new Uint8Array(rows.byteLength + names.length)
  message.set(new Uint8Array(rows.buffer))
  message.set(names, rows.byteLength)
  return sha256(message).slice(0, 32)
}
