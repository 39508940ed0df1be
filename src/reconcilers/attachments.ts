// Puts the pod program on a device: by a pinned tcx link where the kernel has them,
// else by a filter of a clsact qdisc. Both stay when the agent ends, and both exchange
// a program atomically, so that an upgrade loses no packet.

import { attachTcx, DeviceGoneError, type Link, type PinDirectory, type Program } from '../bpf/index.ts'
import { addClsact, deleteClsact, type Namespace, NetlinkSocket, replaceFilter, withNamespace } from '../net/index.ts'

export type Programs = { readonly fromPod: Program; readonly toPod: Program }

/** The programs on one device. All are idempotent. */
export type Attacher = {
  readonly mechanism: 'tcx' | 'clsact'
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

/** @param pins folder for the links */
export function tcxAttacher(programs: Programs, pins: PinDirectory, node: Namespace): Attacher {
  const nameOf = (ifindex: number, direction: Direction) => `${ifindex}_${direction}`

  function reuse(ifindex: number, direction: Direction): boolean {
    const link = pins.openLink(nameOf(ifindex, direction))
    if (!link) return false
    using pinned: Link = link
    if (pinned.info().ifindex !== ifindex) {
      pins.remove(nameOf(ifindex, direction))
      return false
    }
    const program = programOf(programs, direction)
    try {
      if (pinned.info().programId !== program.id) pinned.update(program)
      return true
    } catch (error) {
      if (!(error instanceof DeviceGoneError)) throw error
      pins.remove(nameOf(ifindex, direction))
      return false
    }
  }

  return {
    mechanism: 'tcx',
    attach(ifindex) {
      for (const direction of DIRECTIONS) {
        if (reuse(ifindex, direction)) continue
        using link = withNamespace(node, () => attachTcx(programOf(programs, direction), ifindex, direction))
        pins.pin(nameOf(ifindex, direction), link)
      }
    },
    detach(ifindex) {
      for (const direction of DIRECTIONS) pins.remove(nameOf(ifindex, direction))
    },
    attached: () => [...new Set(pins.list().map(name => Number.parseInt(name, 10)))],
    close: () => undefined,
  }
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
      const [error] = socket.attempt([deleteClsact(ifindex)])
      if (error && !['ENODEV', 'EINVAL', 'ENOENT'].includes(error.code)) throw error
    },
    attached: () => [],
    close: () => socket.close(),
  }
}
