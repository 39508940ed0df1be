// BPF programs on a link by traffic control: a clsact qdisc and cls_bpf filters in
// direct-action mode. The way for kernels before 6.6, which have no tcx links. Replacing
// a filter's program is atomic; filter and program stay when this process ends.
// Source: include/uapi/linux/pkt_sched.h, pkt_cls.h, rtnetlink.h (struct tcmsg).

import { FLAG, type Message } from './message.ts'
import type { Query, Request } from './netlink-socket.ts'
import { attributes, i32, message, rawBytes, text, u8, u32 } from './wire.ts'

export type Direction = 'ingress' | 'egress'

/** Which filter: a link has one for each direction, priority (1-65535, lower runs first) and handle. */
export type FilterKey = {
  readonly index: number
  readonly direction: Direction
  readonly priority: number
  /** 1 unless given. */
  readonly handle?: number
}

export type Filter = Required<FilterKey> & {
  readonly name: string | undefined
  readonly programId: number | undefined
  readonly directAction: boolean
}

const QDISC = { new: 36, delete: 37, get: 38 } as const
const FILTER = { new: 44, delete: 45, get: 46 } as const
const CLSACT_PARENT = 0xfffffff1
const CLSACT_HANDLE = 0xffff0000
const FILTER_PARENT: Readonly<Record<Direction, number>> = { ingress: 0xfffffff2, egress: 0xfffffff3 }
const ETH_P_ALL_BIG_ENDIAN = 0x0300
const DIRECT_ACTION = 1

const trafficControlMessage = message(
  20,
  { family: [0, u8], index: [4, i32], handle: [8, u32], parent: [12, u32], info: [16, u32] },
  { kind: [1, text], options: [2, rawBytes] },
)

const bpfOptions = attributes({ programFd: [6, u32], name: [7, text], flags: [8, u32], programId: [11, u32] })

/** EEXIST when the link has one. */
export function addClsact(index: number): Request {
  return clsact('add', QDISC.new, FLAG.create | FLAG.exclusive, index)
}

/** Takes all its filters with it. EINVAL or ENOENT when the link has none. */
export function deleteClsact(index: number): Request {
  return clsact('delete', QDISC.delete, 0, index)
}

/** Whether the link has one, as the indexes of links that do: for `NetlinkSocket.list`. */
export function allClsact(of: { readonly index: number }): Query<number> {
  return {
    operation: `list queueing disciplines of link ${of.index}`,
    type: QDISC.get,
    flags: 0,
    body: trafficControlMessage.encode({ index: of.index }),
    decode: ({ body }) => {
      const { index, kind } = trafficControlMessage.decode(body)
      return kind === 'clsact' && index === of.index ? index : undefined
    },
  }
}

/** Adds the filter, or swaps its program atomically. `programFd` is a loaded program of type SCHED_CLS. */
export function replaceFilter(key: FilterKey, program: { readonly fd: number; readonly name: string }): Request {
  const options = bpfOptions.encode({ programFd: program.fd, name: program.name, flags: DIRECT_ACTION })
  const body = trafficControlMessage.encode({ ...filterFields(key), kind: 'bpf', options })
  return {
    operation: `replace filter ${describe(key)} with program ${program.name}`,
    type: FILTER.new,
    flags: FLAG.create | FLAG.replace,
    body,
  }
}

/** ENOENT when there is none. */
export function deleteFilter(key: FilterKey): Request {
  const body = trafficControlMessage.encode({ ...filterFields(key), kind: 'bpf' })
  return { operation: `delete filter ${describe(key)}`, type: FILTER.delete, flags: 0, body }
}

export function allFilters(of: { readonly index: number; readonly direction: Direction }): Query<Filter> {
  const { index, direction } = of
  return {
    operation: `list ${direction} filters of link ${index}`,
    type: FILTER.get,
    flags: 0,
    body: trafficControlMessage.encode({ index, parent: FILTER_PARENT[direction] }),
    decode: reply => decodeFilter(reply, direction),
  }
}

/** @returns undefined for a filter that is not cls_bpf. @throws NetlinkFormatError */
export function decodeFilter({ body }: Message, direction: Direction): Filter | undefined {
  const { index, handle, info, kind, options } = trafficControlMessage.decode(body)
  // A filter is listed once for its priority (handle 0) and once for itself.
  if (kind !== 'bpf' || handle === 0) return undefined
  const { name, flags = 0, programId } = bpfOptions.decode(options ?? Buffer.alloc(0))
  return {
    index,
    direction,
    priority: info >>> 16,
    handle,
    name,
    programId,
    directAction: (flags & DIRECT_ACTION) !== 0,
  }
}

function clsact(verb: string, type: number, flags: number, index: number): Request {
  const body = trafficControlMessage.encode({ index, handle: CLSACT_HANDLE, parent: CLSACT_PARENT, kind: 'clsact' })
  return { operation: `${verb} clsact ${verb === 'add' ? 'to' : 'of'} link ${index}`, type, flags, body }
}

function filterFields({ index, direction, priority, handle = 1 }: FilterKey) {
  return { index, handle, parent: FILTER_PARENT[direction], info: ((priority << 16) | ETH_P_ALL_BIG_ENDIAN) >>> 0 }
}

function describe({ index, direction, priority }: FilterKey): string {
  return `${direction} ${priority} of link ${index}`
}
