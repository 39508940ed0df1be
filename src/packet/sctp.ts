// SCTP packets (RFC 9260): the common header and its chunks.

import { pack, Reader, UnparsedError, u8, u16, u32, zerosTo } from './bytes.ts'
import { crc32c } from './checksum.ts'
import type { Parsed, Resolved } from './layer.ts'

export type SctpChunk =
  | {
      readonly chunk: 'init' | 'initAck'
      readonly initiateTag: number
      readonly receiverWindow: number
      readonly outboundStreams: number
      readonly inboundStreams: number
      readonly initialSequence: number
      readonly parameters: Uint8Array
    }
  | { readonly chunk: 'other'; readonly type: number; readonly flags: number; readonly content: Uint8Array }

export type Sctp = {
  readonly kind: 'sctp'
  readonly sourcePort: number
  readonly destinationPort: number
  /** 0 in a packet with an INIT chunk. */
  readonly verificationTag: number
  readonly chunks: readonly SctpChunk[]
  /** CRC32c, as a number in network order of its four bytes. */
  readonly checksum?: number
}

export function sctp(fields: Partial<Omit<Sctp, 'kind'>> & Pick<Sctp, 'sourcePort' | 'destinationPort'>): Sctp {
  return { kind: 'sctp', verificationTag: 0, chunks: [], ...fields }
}

/** The chunk that opens an association. */
export function sctpInit(fields: { readonly initiateTag?: number } = {}): SctpChunk {
  return {
    chunk: 'init',
    initiateTag: fields.initiateTag ?? 1,
    receiverWindow: 65536,
    outboundStreams: 10,
    inboundStreams: 10,
    initialSequence: 1,
    parameters: new Uint8Array(0),
  }
}

export const SCTP = 132
export const SCTP_CHUNK = {
  data: 0,
  init: 1,
  initAck: 2,
  abort: 6,
  shutdown: 7,
  cookieEcho: 10,
  cookieAck: 11,
} as const

export function encodeSctp(layer: Sctp): Uint8Array {
  const header = pack(u16(layer.sourcePort), u16(layer.destinationPort), u32(layer.verificationTag))
  const chunks = pack(...layer.chunks.map(encodeChunk))
  return pack(header, checksumBytes(layer, header, chunks), chunks)
}

/** The CRC is taken with its own field at zero and sent lowest byte first. */
function checksumBytes(layer: Sctp, header: Uint8Array, chunks: Uint8Array): number[] {
  return layer.checksum === undefined ? u32(crc32c(pack(header, u32(0), chunks))).reverse() : u32(layer.checksum)
}

export function decodeSctp(bytes: Uint8Array): Parsed<Resolved<Sctp>> {
  const reader = new Reader(bytes)
  const sourcePort = reader.u16()
  const destinationPort = reader.u16()
  const verificationTag = reader.u32()
  const checksum = reader.u32()
  const chunks: SctpChunk[] = []
  while (reader.left > 0) chunks.push(decodeChunk(reader))
  return {
    layer: { kind: 'sctp', sourcePort, destinationPort, verificationTag, checksum, chunks },
    body: new Uint8Array(0),
    next: undefined,
  }
}

const CHUNK_HEADER = 4
const INIT_LENGTH = 16

function encodeChunk(chunk: SctpChunk): Uint8Array {
  const [type, flags, content] =
    chunk.chunk === 'other' ? [chunk.type, chunk.flags, chunk.content] : [SCTP_CHUNK[chunk.chunk], 0, encodeInit(chunk)]
  return pack(u8(type), u8(flags), u16(CHUNK_HEADER + content.length), content, zerosTo(content.length, 4))
}

function encodeInit(chunk: Exclude<SctpChunk, { chunk: 'other' }>): Uint8Array {
  return pack(
    u32(chunk.initiateTag),
    u32(chunk.receiverWindow),
    u16(chunk.outboundStreams),
    u16(chunk.inboundStreams),
    u32(chunk.initialSequence),
    chunk.parameters,
  )
}

function decodeChunk(reader: Reader): SctpChunk {
  const type = reader.u8()
  const flags = reader.u8()
  const length = reader.u16()
  if (length < CHUNK_HEADER) throw new UnparsedError(`a chunk of ${length} bytes`)
  const content = reader.take(length - CHUNK_HEADER)
  reader.take(zerosTo(content.length, 4).length)
  const name = type === SCTP_CHUNK.init ? 'init' : type === SCTP_CHUNK.initAck ? 'initAck' : undefined
  if (name === undefined || flags !== 0 || content.length < INIT_LENGTH) return { chunk: 'other', type, flags, content }
  const fields = new Reader(content)
  return {
    chunk: name,
    initiateTag: fields.u32(),
    receiverWindow: fields.u32(),
    outboundStreams: fields.u16(),
    inboundStreams: fields.u16(),
    initialSequence: fields.u32(),
    parameters: fields.rest(),
  }
}
