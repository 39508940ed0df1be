// Puts the programs for outside clients on the node's devices: by pinned links where the
// kernel has them, else by filters of a clsact qdisc, and before both by XDP where that
// is wanted. All of it stays when the agent ends; programs are exchanged atomically.
// Devices may have programs and filters of others: those are left alone.

import { attachXdp, DeviceGoneError, type Link, type PinDirectory, type Program } from '../bpf/index.ts'
import {
  addClsact,
  allFilters,
  allLinks,
  deleteFilter,
  type Namespace,
  NetlinkSocket,
  replaceFilter,
  withNamespace,
} from '../net/index.ts'
import { asError, type Operations } from '../state/index.ts'
import type { NodeDevice } from '../tables/index.ts'
import { makeLink } from './attachments.ts'

export type XdpMode = 'generic' | 'native'

export type NodeDeviceOptions = {
  readonly programs: { readonly fromNetdev: Program; readonly toNetdev: Program }
  /** Folder for the links; without one there are filters only. */
  readonly pins: PinDirectory | undefined
  /** tcx links need Linux 6.6. */
  readonly mechanism: 'tcx' | 'clsact'
  readonly xdp?: { readonly program: Program; readonly mode: XdpMode }
  /** The namespace that the devices are in. */
  readonly node: Namespace
  /** Told when a device's driver has no XDP, and gets the generic one. */
  readonly onFallback: (device: NodeDevice, error: Error) => void
}

const DIRECTIONS = ['ingress', 'egress'] as const
type Direction = (typeof DIRECTIONS)[number]
type Hook = Direction | `xdp_${XdpMode}`
const XDP_HOOKS = ['xdp_native', 'xdp_generic'] as const
/** Of the filters; those of others on the same device have another one. */
const PRIORITY = 43_210

export function nodeDeviceOperations(options: NodeDeviceOptions): Operations<NodeDevice> {
  const { programs, pins, node, xdp } = options
  const programOf = (direction: Direction): Program =>
    direction === 'ingress' ? programs.fromNetdev : programs.toNetdev
  const nameOf = (ifindex: number, hook: Hook): string => `${ifindex}_${hook}`

  /** Whether the device has the link, now with today's program. */
  function reuse(folder: PinDirectory, ifindex: number, hook: Hook, program: Program): boolean {
    const link = folder.openLink(nameOf(ifindex, hook))
    if (!link) return false
    using pinned: Link = link
    try {
      const { ifindex: device, programId } = pinned.info()
      if (device === ifindex && programId !== program.id) pinned.update(program)
      if (device === ifindex) return true
    } catch (error) {
      if (!(error instanceof DeviceGoneError)) throw error
    }
    folder.remove(nameOf(ifindex, hook))
    return false
  }

  async function link(folder: PinDirectory, { ifindex }: NodeDevice): Promise<void> {
    for (const direction of DIRECTIONS) {
      const program = programOf(direction)
      if (reuse(folder, ifindex, direction, program)) continue
      using made = await makeLink(program, ifindex, direction, node)
      folder.pin(nameOf(ifindex, direction), made)
    }
  }

  function filter({ ifindex: index }: NodeDevice): void {
    using socket = NetlinkSocket.open({ namespace: node })
    const [exists] = socket.attempt([addClsact(index)])
    if (exists && exists.code !== 'EEXIST') throw exists
    for (const direction of DIRECTIONS)
      socket.run(replaceFilter({ index, direction, priority: PRIORITY }, programOf(direction)))
  }

  /** One XDP program a device: the other mode's goes before this one comes. */
  function accelerate(folder: PinDirectory, device: NodeDevice): void {
    const { ifindex } = device
    const wanted: readonly XdpMode[] = !xdp ? [] : xdp.mode === 'native' ? ['native', 'generic'] : ['generic']
    // What native had to fall back to stays, rather than to be tried again at every look.
    const kept = xdp && wanted.find(mode => reuse(folder, ifindex, `xdp_${mode}`, xdp.program))
    for (const hook of XDP_HOOKS) if (hook !== `xdp_${kept}`) unlink(folder, nameOf(ifindex, hook))
    if (!xdp || kept) return
    for (const mode of wanted) {
      try {
        using made = withNamespace(node, () => attachXdp(xdp.program, ifindex, mode))
        folder.pin(nameOf(ifindex, `xdp_${mode}`), made)
        return
      } catch (error) {
        if (error instanceof DeviceGoneError || mode === wanted.at(-1)) throw error
        options.onFallback(device, asError(error))
      }
    }
  }

  function detach(ifindex: number): void {
    if (pins) for (const hook of [...DIRECTIONS, ...XDP_HOOKS]) unlink(pins, nameOf(ifindex, hook))
    using socket = NetlinkSocket.open({ namespace: node })
    for (const direction of DIRECTIONS) {
      const [error] = socket.attempt([deleteFilter({ index: ifindex, direction, priority: PRIORITY })])
      if (error && !['ENODEV', 'EINVAL', 'ENOENT'].includes(error.code)) throw error
    }
  }

  /** Devices that have programs of ours. */
  function attached(): number[] {
    using socket = NetlinkSocket.open({ namespace: node })
    const filtered = socket.list(allLinks()).filter(({ index }) => hasFilter(socket, index))
    const linked = pins?.list().map(name => Number.parseInt(name, 10)) ?? []
    return [...new Set([...linked, ...filtered.map(({ index }) => index)])]
  }

  return {
    async update(devices) {
      const failures = new Map<NodeDevice, Error>()
      for (const device of devices) {
        try {
          if (pins && options.mechanism === 'tcx') await link(pins, device)
          else filter(device)
          if (pins) accelerate(pins, device)
        } catch (error) {
          // Its row goes when the kernel has told of it.
          if (!(error instanceof DeviceGoneError)) failures.set(device, asError(error))
        }
      }
      return failures
    },
    async delete(devices) {
      for (const { ifindex } of devices) detach(ifindex)
    },
    async prune(desired) {
      const wanted = new Set(desired.map(device => device.ifindex))
      for (const ifindex of attached()) if (!wanted.has(ifindex)) detach(ifindex)
    },
  }
}

/** The program is off the hook on return; without its pin alone it would go some time later. */
function unlink(folder: PinDirectory, name: string): void {
  using link = folder.openLink(name)
  if (link && !link.isDangling()) link.detach()
  folder.remove(name)
}

function hasFilter(socket: NetlinkSocket, index: number): boolean {
  return DIRECTIONS.some(direction =>
    socket.list(allFilters({ index, direction })).some(({ priority }) => priority === PRIORITY),
  )
}
