// Cuts a stream into the frames of Kafka: a length of 4 bytes, then so many bytes. A
// frame is given out in pieces as they come and never put together here.

/** Told of each frame in order; `piece` may be called with parts of any size, `end` after the last of them. */
export type FrameHandler = {
  /** @returns false: nothing of this stream is cut any more */
  begin(length: number): boolean
  piece(bytes: Uint8Array): boolean
  end(): boolean
}

export class FrameCutter {
  readonly #handler: FrameHandler
  readonly #length = new Uint8Array(4)
  #lengthBytes = 0
  #left = 0

  constructor(handler: FrameHandler) {
    this.#handler = handler
  }

  /** @returns the bytes that were not looked at because the handler wanted no more; undefined when all were */
  push(chunk: Uint8Array): Uint8Array | undefined {
    let at = 0
    while (at < chunk.length) {
      if (this.#lengthBytes < 4) {
        this.#length[this.#lengthBytes++] = chunk[at++] ?? 0
        if (this.#lengthBytes < 4) continue
        this.#left = new DataView(this.#length.buffer).getInt32(0)
        if (!this.#handler.begin(this.#left)) return chunk.subarray(at)
      } else {
        const piece = chunk.subarray(at, at + this.#left)
        at += piece.length
        this.#left -= piece.length
        if (!this.#handler.piece(piece)) return chunk.subarray(at)
      }
      if (this.#left > 0) continue
      this.#lengthBytes = 0
      if (!this.#handler.end()) return chunk.subarray(at)
    }
    return undefined
  }
}

export function lengthPrefix(length: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setInt32(0, length)
  return bytes
}
