// bpf/lib/event.h: the records of flow events. `FlowEventReader` reads them where
// they lie in the ring buffer, without an object for an event; `decodeFlowEvent`
// makes an object of one. Field names are those of C.

import { type Btf, type Codec, compileCodec } from '../bpf/index.ts'
import { type IpAddress, ipFromBytes } from '../ip/index.ts'
import { addressShape } from './address.ts'
import { enumeration, type StructValue, struct } from './layout.ts'

export const eventKindShape = enumeration('event_kind', 'EVENT_', ['NEW', 'ACTIVE', 'CLOSED', 'DROP', 'RELATED'])
export type EventKind = (typeof eventKindShape.names)[number]

export const observationPointShape = enumeration('observation_point', 'OBSERVED_', [
  'NOWHERE',
  'TO_PROXY',
  'TO_STACK',
  'TO_ENDPOINT',
])
export type ObservationPoint = (typeof observationPointShape.names)[number]

export const flowEventShape = struct('flow_event', {
  time_ns: 'bigint',
  source: addressShape,
  destination: addressShape,
  packets: 'bigint pair',
  bytes: 'bigint pair',
  source_port: 'number',
  destination_port: 'number',
  protocol: 'number',
  family: 'number',
  tcp_flags: 'number',
  icmp_type: 'number',
  icmp_code: 'number',
  kind: 'number',
  verdict: 'number',
  direction: 'number',
  drop_reason: 'number',
  observation: 'number',
  is_reply: 'number',
  flow_flags: 'number',
  identity: 'pair',
  endpoint: 'pair',
  egress_rule: 'number',
  ingress_rule: 'number',
  length: 'number',
  ifindex: 'number',
  service: 'number',
  proxy: 'number',
})
export type FlowEvent = StructValue<typeof flowEventShape>

export const eventCountShape = struct('event_count', { sent: 'bigint', lost: 'bigint' })
export type EventCount = StructValue<typeof eventCountShape>

type Offsets = Readonly<Record<keyof typeof flowEventShape.fields, number>>

/** Where the fields of a record are; made once from BTF. */
export type FlowEventLayout = { readonly size: number; readonly offset: Offsets; readonly codec: Codec<FlowEvent> }

export function flowEventLayout(btf: Btf): FlowEventLayout {
  const layout = btf.struct(flowEventShape.struct)
  const fields = Object.keys(flowEventShape.fields).map(name => [name, layout.field(name).offset])
  return {
    size: layout.size,
    offset: Object.fromEntries(fields) as Offsets,
    codec: compileCodec<FlowEvent>(btf, layout.typeId),
  }
}

/** @throws RangeError for a record of another length */
export function decodeFlowEvent(layout: FlowEventLayout, view: DataView, offset: number, length: number): FlowEvent {
  requireLength(layout, length)
  return layout.codec.decode(view, offset)
}

/**
 * A window on one record: `at` moves it, the getters read. Valid as long as the record's bytes are, that is, during
 * the ring buffer's call. Sides: 0 is the packet's source, 1 its destination.
 */
export class FlowEventReader {
  readonly #layout: FlowEventLayout
  readonly #offset: Offsets
  #view: DataView = new DataView(new ArrayBuffer(0))
  #start = 0

  constructor(layout: FlowEventLayout) {
    this.#layout = layout
    this.#offset = layout.offset
  }

  /** @throws RangeError for a record of another length */
  at(view: DataView, offset: number, length: number): this {
    requireLength(this.#layout, length)
    this.#view = view
    this.#start = offset
    return this
  }

  /** CLOCK_MONOTONIC. */
  get time_ns(): bigint {
    return this.#view.getBigUint64(this.#start + this.#offset.time_ns, true)
  }
  get source_port(): number {
    return this.#view.getUint16(this.#start + this.#offset.source_port)
  }
  get destination_port(): number {
    return this.#view.getUint16(this.#start + this.#offset.destination_port)
  }
  get protocol(): number {
    return this.#u8(this.#offset.protocol)
  }
  get family(): number {
    return this.#u8(this.#offset.family)
  }
  get tcp_flags(): number {
    return this.#u8(this.#offset.tcp_flags)
  }
  get icmp_type(): number {
    return this.#u8(this.#offset.icmp_type)
  }
  get icmp_code(): number {
    return this.#u8(this.#offset.icmp_code)
  }
  get kind(): number {
    return this.#u8(this.#offset.kind)
  }
  get verdict(): number {
    return this.#u8(this.#offset.verdict)
  }
  get direction(): number {
    return this.#u8(this.#offset.direction)
  }
  get drop_reason(): number {
    return this.#u8(this.#offset.drop_reason)
  }
  get observation(): number {
    return this.#u8(this.#offset.observation)
  }
  get is_reply(): number {
    return this.#u8(this.#offset.is_reply)
  }
  get flow_flags(): number {
    return this.#u8(this.#offset.flow_flags)
  }
  get egress_rule(): number {
    return this.#u32(this.#offset.egress_rule)
  }
  get ingress_rule(): number {
    return this.#u32(this.#offset.ingress_rule)
  }
  /** Of the packet, bytes. */
  get length(): number {
    return this.#u32(this.#offset.length)
  }
  get ifindex(): number {
    return this.#u32(this.#offset.ifindex)
  }
  /** Number of the service port that the flow was opened to; 0: none. */
  get service(): number {
    return this.#u32(this.#offset.service)
  }
  /** Number of the `ProxyKind` that carries the flow. */
  get proxy(): number {
    return this.#u8(this.#offset.proxy)
  }
  identity(side: 0 | 1): number {
    return this.#u32(this.#offset.identity + 4 * side)
  }
  endpoint(side: 0 | 1): number {
    return this.#u32(this.#offset.endpoint + 4 * side)
  }
  /** Of the whole flow so far, sent by 0 the opener, 1 the other side; exact up to 2^53. */
  packets(side: 0 | 1): number {
    return this.#u64(this.#offset.packets + 8 * side)
  }
  bytes(side: 0 | 1): number {
    return this.#u64(this.#offset.bytes + 8 * side)
  }
  /** A copy: it may be kept. */
  get source(): IpAddress {
    return ipFromBytes(this.#address(this.#offset.source))
  }
  get destination(): IpAddress {
    return ipFromBytes(this.#address(this.#offset.destination))
  }

  #u8(offset: number): number {
    return this.#view.getUint8(this.#start + offset)
  }
  #u32(offset: number): number {
    return this.#view.getUint32(this.#start + offset, true)
  }
  #u64(offset: number): number {
    return this.#u32(offset) + 2 ** 32 * this.#u32(offset + 4)
  }
  #address(offset: number): Uint8Array {
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#start + offset, 16)
  }
}

function requireLength(layout: FlowEventLayout, length: number): void {
  if (length !== layout.size) throw new RangeError(`a flow event has ${layout.size} bytes, not ${length}`)
}
