// A key that names the content of a policy map: equal for equal entries, in every
// process and after every restart, so that endpoints can share a map and an agent can
// recognise one that it finds in the kernel. It is a tree of digests over prefixes,
// identities and directions, so that a change of one peer costs little.

import { treatmentKey } from './port-space.ts'
import type { PortPrefix } from './prefix-cover.ts'
import { digest } from './sha256.ts'

/** A digest of what a number stands for: an identity, or many. */
export type NumberedDigest = { readonly number: number; readonly digest: Uint8Array }

/** As many as the key has: more of them would make the key no harder to meet by chance. */
const DIGEST_BYTES = 16
const PREFIX_BYTES = 12
const COUNT_BYTES = 4

/** Over the prefixes in their order, with all that they decide. */
export function digestOfPrefixes(prefixes: readonly PortPrefix[]): Uint8Array {
  const outcomes = new Map<string, number>()
  const rows = new DataView(new ArrayBuffer(COUNT_BYTES + prefixes.length * PREFIX_BYTES))
  rows.setUint32(0, prefixes.length)
  for (const [i, { protocol, port, portPrefixLength, decision }] of prefixes.entries()) {
    const at = COUNT_BYTES + i * PREFIX_BYTES
    // A rule's key has no control characters, so the two can be told apart.
    const outcome = decision.treatment ? `${decision.rule}\0${treatmentKey(decision.treatment)}` : decision.rule
    let number = outcomes.get(outcome)
    if (number === undefined) {
      number = outcomes.size
      outcomes.set(outcome, number)
    }
    rows.setUint8(at, protocol)
    rows.setUint8(at + 1, portPrefixLength)
    rows.setUint16(at + 2, port)
    rows.setUint32(at + 4, decision.precedence)
    rows.setUint32(at + 8, number * 2 + (decision.verdict === 'allow' ? 1 : 0))
  }
  const names = new TextEncoder().encode(JSON.stringify([...outcomes.keys()]))
  return shortDigest(joined([new Uint8Array(rows.buffer), names]))
}

/** Over digests in the order of their numbers. */
export function digestOfNumbered(items: readonly NumberedDigest[]): Uint8Array {
  const message = new Uint8Array(items.length * (4 + DIGEST_BYTES))
  const view = new DataView(message.buffer)
  for (const [i, item] of items.entries()) {
    const at = i * (4 + DIGEST_BYTES)
    view.setUint32(at, item.number)
    for (let j = 0; j < DIGEST_BYTES; j++) message[at + 4 + j] = item.digest[j] as number
  }
  return shortDigest(message)
}

/** 128 bits over digests, always as many, as 32 hexadecimal digits. */
export function contentKey(digests: readonly Uint8Array[]): string {
  return hexadecimal(shortDigest(joined(digests)))
}

const shortDigest = (message: Uint8Array): Uint8Array => digest(message).slice(0, DIGEST_BYTES)

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

const hexadecimal = (bytes: Uint8Array): string =>
  Array.from(bytes, byte => (byte + 256).toString(16).slice(1)).join('')
