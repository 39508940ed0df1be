// Messages in a stream of bytes: each after its length in two bytes (RFC 1035 section
// 4.2.2), as many as a client likes without waiting (RFC 7766 section 6.2.1.1).

const LENGTH_BYTES = 2

/** Cuts a stream into messages. Holds one unfinished message at most, which has 65,535 bytes. */
export class MessageFrames {
  #rest: Buffer = Buffer.alloc(0)

  /** @returns messages that are whole now; they may share memory with the chunk */
  push(chunk: Buffer): Buffer[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const messages: Buffer[] = []
    let at = 0
    while (at + LENGTH_BYTES <= bytes.length) {
      const end = at + LENGTH_BYTES + bytes.readUInt16BE(at)
      if (end > bytes.length) break
      messages.push(bytes.subarray(at + LENGTH_BYTES, end))
      at = end
    }
    // A copy: what is left must not keep all of a large chunk.
    this.#rest = Buffer.from(bytes.subarray(at))
    return messages
  }
}

/** A message as a stream carries it. */
export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + message.length)
  frame.writeUInt16BE(message.length, 0)
  frame.set(message, LENGTH_BYTES)
  return frame
}
