// Names as they stand in messages (RFC 1035 sections 3.1 and 4.1.4), to text that can be
// compared: lower case, with the last dot, every byte that is no plain letter as \DDD.
// So a dot in the text always parts two labels, whatever bytes a label holds.

/** A name of a message is at most this long, its length bytes included (RFC 1035 section 2.3.4). */
const MAX_NAME_BYTES = 255
/** Names are compressed once or twice; every label of the longest name by itself is as far as sense goes. */
const MAX_POINTERS = 127
const POINTER = 0xc0

/** Where a name ends in the message, and what it says. */
export type ReadName = { readonly text: string; readonly end: number }

// Each byte has at most four letters.
const letters = new Uint16Array(MAX_NAME_BYTES * 4)

/** By byte: the letter that stands for it, 0 for bytes that are written as \DDD. */
const LETTER = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte >= 0x41 && byte <= 0x5a) return byte + 0x20
  const isOwnLetter = byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c && byte !== 0x2a
  return isOwnLetter ? byte : 0
})

/**
 * Reads the name at an offset. A pointer leads to bytes before the part that it ends, so that reading always ends.
 * @param compressed whether pointers are allowed; a name that comes first in a message has nothing to point to
 * @returns undefined when it is cut off, too long or not well-formed
 */
export function readName(bytes: Uint8Array, offset: number, compressed: boolean): ReadName | undefined {
  let at = offset
  let partStart = offset
  let end = 0
  let written = 0
  let size = 1
  let pointers = 0
  for (;;) {
    const length = bytes[at]
    if (length === undefined) return undefined
    if (length === 0) {
      const text = written === 0 ? '.' : String.fromCharCode.apply(null, letters.subarray(0, written) as never)
      return { text, end: end || at + 1 }
    }
    if (length >= POINTER) {
      const low = bytes[at + 1]
      if (!compressed || low === undefined || ++pointers > MAX_POINTERS) return undefined
      const target = ((length & 0x3f) << 8) | low
      if (target >= partStart) return undefined
      end ||= at + 2
      at = partStart = target
      continue
    }
    size += length + 1
    // 0x40 and 0x80 begin kinds of labels that were never put to use (RFC 6891 section 5).
    if (length > 63 || size > MAX_NAME_BYTES || at + length >= bytes.length) return undefined
    written = writeLabel(bytes, at + 1, length, written)
    at += length + 1
  }
}

/** @returns how many letters there are after the label and its dot */
function writeLabel(bytes: Uint8Array, at: number, length: number, already: number): number {
  let written = already
  for (let index = at; index < at + length; index++) {
    const byte = bytes[index] as number
    const letter = LETTER[byte] as number
    if (letter !== 0) letters[written++] = letter
    else {
      letters[written++] = 0x5c
      letters[written++] = 0x30 + Math.floor(byte / 100)
      letters[written++] = 0x30 + (Math.floor(byte / 10) % 10)
      letters[written++] = 0x30 + (byte % 10)
    }
  }
  letters[written++] = 0x2e
  return written
}

/** A name as people write it: in lower case, with the last dot. */
export function canonicalName(text: string): string {
  const lower = text.toLowerCase()
  return lower.endsWith('.') ? lower : `${lower}.`
}
