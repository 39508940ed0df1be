// Netlink framing (include/uapi/linux/netlink.h): messages in a datagram, and what an
// acknowledgement says. Pure. The content of a message is the business of the file of
// its object: links, addresses, routes ...

import { NetlinkFormatError } from './errors.ts'
import { align, attributes, text, u32 } from './wire.ts'

export const HEADER_LENGTH = 16

export const FLAG = {
  request: 0x1,
  acknowledge: 0x4,
  dumpInterrupted: 0x10,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
} as const

/** On acknowledgements: the request's payload is not repeated; attributes follow. */
const ACK_CAPPED = 0x100
const ACK_ATTRIBUTES = 0x200

export const CONTROL = { noop: 1, error: 2, done: 3, overrun: 4 } as const

export type Message = {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  readonly body: Buffer
}

export function encodeMessage({ type, flags, sequence, body }: Message): Buffer {
  const bytes = Buffer.alloc(align(HEADER_LENGTH + body.length))
  bytes.writeUInt32LE(HEADER_LENGTH + body.length, 0)
  bytes.writeUInt16LE(type, 4)
  bytes.writeUInt16LE(flags, 6)
  bytes.writeUInt32LE(sequence, 8)
  bytes.set(body, HEADER_LENGTH)
  return bytes
}

/** The messages of one datagram. @throws NetlinkFormatError */
export function decodeMessages(datagram: Buffer): Message[] {
  const messages: Message[] = []
  for (let at = 0; at < datagram.length; ) {
    const left = datagram.length - at
    const length = left < HEADER_LENGTH ? 0 : datagram.readUInt32LE(at)
    if (length < HEADER_LENGTH || length > left) throw new NetlinkFormatError(`a message of ${length} bytes in ${left}`)
    messages.push({
      type: datagram.readUInt16LE(at + 4),
      flags: datagram.readUInt16LE(at + 6),
      sequence: datagram.readUInt32LE(at + 8),
      body: datagram.subarray(at + HEADER_LENGTH, at + length),
    })
    at += align(length)
  }
  return messages
}

const acknowledgement = attributes({ message: [1, text], missingType: [5, u32] })

/** Reads the body of an error or done message. `errno` 0 means success. @throws NetlinkFormatError */
export function decodeAcknowledgement({ type, flags, body }: Message): { errno: number; kernelMessage: string } {
  if (body.length < 4) {
    if (type === CONTROL.done) return { errno: 0, kernelMessage: '' }
    throw new NetlinkFormatError(`an acknowledgement of ${body.length} bytes`)
  }
  const errno = Math.max(0, -body.readInt32LE(0))
  if (!(flags & ACK_ATTRIBUTES)) return { errno, kernelMessage: '' }
  const { message, missingType } = acknowledgement.decode(body.subarray(attributesStart(type, flags, body)))
  const missing = missingType === undefined ? [] : [`attribute ${missingType} is missing`]
  return { errno, kernelMessage: [...(message ? [message] : []), ...missing].join('; ') }
}

/** After the errno an error repeats the request: its header only when capped. A done message repeats nothing. */
function attributesStart(type: number, flags: number, body: Buffer): number {
  if (type === CONTROL.done) return 4
  if (body.length < 4 + HEADER_LENGTH) throw new NetlinkFormatError(`an error message of ${body.length} bytes`)
  return 4 + (flags & ACK_CAPPED ? HEADER_LENGTH : align(body.readUInt32LE(4)))
}

export type ListProgress =
  | { readonly kind: 'more' }
  | { readonly kind: 'complete'; readonly messages: readonly Message[] }
  /** Objects came or went meanwhile: some may be missing or doubled, so ask again. */
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'refused'; readonly errno: number; readonly kernelMessage: string }

/** Collects the parts of one list. Messages of other exchanges are passed over. */
export class ListReader {
  readonly #sequence: number
  readonly #messages: Message[] = []
  #interrupted = false

  constructor(sequence: number) {
    this.#sequence = sequence
  }

  /** @throws NetlinkFormatError */
  take(datagram: readonly Message[]): ListProgress {
    for (const message of datagram) {
      if (message.sequence !== this.#sequence) continue
      if (message.flags & FLAG.dumpInterrupted) this.#interrupted = true
      if (message.type === CONTROL.done || message.type === CONTROL.error) return this.#end(message)
      this.#messages.push(message)
    }
    return { kind: 'more' }
  }

  #end(message: Message): ListProgress {
    const { errno, kernelMessage } = decodeAcknowledgement(message)
    if (errno !== 0) return { kind: 'refused', errno, kernelMessage }
    return this.#interrupted ? { kind: 'interrupted' } : { kind: 'complete', messages: this.#messages }
  }
}
