// Puts the pod program on a device: by pinned tcx links where the kernel has them, else
// by filters of a clsact qdisc. Both stay when the agent ends, and both exchange a
// program atomically, so that an upgrade loses no packet.

import { attachTcx, attachTcxAsync, DeviceGoneError, type Link, type PinDirectory, type Program } from '../bpf/index.ts'
import { addClsact, deleteFilter, Namespace, NetlinkSocket, replaceFilter, withNamespace } from '../net/index.ts'

export type Programs = { readonly fromPod: Program; readonly toPod: Program }

/** The programs on one device. All are idempotent. */
export type Attacher = {
  readonly mechanism: 'tcx' | 'clsact'
  /** From its return on, every packet of the device is judged. */
  attach(ifindex: number): void
  /** Nothing there is no error. */
  detach(ifindex: number): void
  /** Indexes of devices that have, or had, programs of ours. */
  attached(): number[]
  close(): void
}

const DIRECTIONS = ['ingress', 'egress'] as const
type Direction = (typeof DIRECTIONS)[number]

/** Seen from the node's side of the pair: what a pod sends comes in. */
const programOf = (programs: Programs, direction: Direction): Program =>
  direction === 'ingress' ? programs.fromPod : programs.toPod

export type TcxOptions = {
  readonly programs: Programs
  /** Folder for the links. */
  readonly pins: PinDirectory
  /** The namespace that the devices are in. */
  readonly node: Namespace
  /** How long no device must have come before links are made. */
  readonly quietMs?: number
  /** Told when a device has to stay with its filters. */
  readonly onFailure: (ifindex: number, error: unknown) => void
}

/**
 * tcx links, in two steps. A link costs a grace period in each direction, some 25 ms in all, with the kernel's lock on
 * network devices held: too long for a pod that waits for its network. So a new device gets filters at once, in
 * a third of a millisecond, and its links when no device has come for a while. While it has both, the links judge.
 */
export function tcxAttacher({ programs, pins, node, quietMs = 1_000, onFailure }: TcxOptions): Attacher {
  const filters = clsactAttacher(programs, node)
  /** Devices that have filters and no links yet. */
  const waiting = new Set<number>()
  let timer: NodeJS.Timeout | undefined
  let isClosed = false
  let isWorking = false

  const nameOf = (ifindex: number, direction: Direction) => `${ifindex}_${direction}`

  /** Whether the device has the link, now with today's program. */
  function reuse(ifindex: number, direction: Direction): boolean {
    const link = pins.openLink(nameOf(ifindex, direction))
    if (!link) return false
    using pinned: Link = link
    const program = programOf(programs, direction)
    try {
      const { ifindex: device, programId } = pinned.info()
      if (device === ifindex && programId !== program.id) pinned.update(program)
      if (device === ifindex) return true
    } catch (error) {
      if (!(error instanceof DeviceGoneError)) throw error
    }
    pins.remove(nameOf(ifindex, direction))
    return false
  }

  async function link(ifindex: number): Promise<void> {
    for (const direction of DIRECTIONS) {
      if (reuse(ifindex, direction)) continue
      using made = await makeLink(programOf(programs, direction), ifindex, direction, node)
      // Gone meanwhile: closing the link, which nothing pins, is all there is to do.
      if (isClosed || !waiting.has(ifindex)) return
      pins.pin(nameOf(ifindex, direction), made)
    }
    filters.detach(ifindex)
    waiting.delete(ifindex)
  }

  /** Links one device after the other, as long as no other device comes. */
  async function linkWaiting(): Promise<void> {
    timer = undefined
    if (isWorking) return
    isWorking = true
    for (const ifindex of waiting) {
      if (timer || isClosed) break
      try {
        await link(ifindex)
      } catch (error) {
        waiting.delete(ifindex)
        if (!(error instanceof DeviceGoneError)) onFailure(ifindex, error)
      }
    }
    isWorking = false
  }

  return {
    mechanism: 'tcx',
    attach(ifindex) {
      if (waiting.has(ifindex)) return
      if (DIRECTIONS.map(direction => reuse(ifindex, direction)).every(Boolean)) {
        filters.detach(ifindex)
        return
      }
      filters.attach(ifindex)
      waiting.add(ifindex)
      clearTimeout(timer)
      timer = setTimeout(() => void linkWaiting(), quietMs).unref()
    },
    detach(ifindex) {
      waiting.delete(ifindex)
      for (const direction of DIRECTIONS) pins.remove(nameOf(ifindex, direction))
    },
    attached: () => [...new Set(pins.list().map(name => Number.parseInt(name, 10)))],
    close() {
      isClosed = true
      clearTimeout(timer)
      filters.close()
    },
  }
}

/** On a thread where that one is in the right namespace; else here. */
export async function makeLink(
  program: Program,
  ifindex: number,
  direction: Direction,
  node: Namespace,
): Promise<Link> {
  using home = Namespace.open('/proc/self/ns/net')
  if (home.isSame(node)) return attachTcxAsync(program, ifindex, direction)
  return withNamespace(node, () => attachTcx(program, ifindex, direction))
}

export function clsactAttacher(programs: Programs, node: Namespace): Attacher {
  const socket = NetlinkSocket.open({ namespace: node })
  const priority = 1
  return {
    mechanism: 'clsact',
    attach(ifindex) {
      const [exists] = socket.attempt([addClsact(ifindex)])
      if (exists && exists.code !== 'EEXIST') throw exists
      for (const direction of DIRECTIONS)
        socket.run(replaceFilter({ index: ifindex, direction, priority }, programOf(programs, direction)))
    },
    detach(ifindex) {
      // The qdisc stays: the kernel takes a device out of service for a grace period when one is added or removed (qdisc_graft,
      // 6.18), and drops without a word what is sent meanwhile.
      for (const direction of DIRECTIONS) {
        const [error] = socket.attempt([deleteFilter({ index: ifindex, direction, priority })])
        if (error && !['ENODEV', 'EINVAL', 'ENOENT'].includes(error.code)) throw error
      }
    },
    attached: () => [],
    close: () => socket.close(),
  }
}
