// Links: a program on a hook. A link holds its program there until it is closed
// by everybody and pinned nowhere; its program can be exchanged atomically under
// traffic. Devices are looked up in the calling thread's network namespace.

import { closeSync, openSync } from 'node:fs'
import { close, stableBuffer } from '../sys/native.ts'
import { ATTACH_TYPE, type AttachType, attachTypeName, type LinkType, linkTypeName } from './constants.ts'
import { DeviceGoneError, ProgramChangedError } from './errors.ts'
import { explain } from './probe.ts'
import type { Program } from './program.ts'
import {
  COMMAND,
  fdById,
  type LinkCreation,
  linkCreate,
  linkCreateAsync,
  linkDetach,
  linkUpdate,
  objectInfo,
  objectPin,
  programQuery,
  succeed,
} from './syscalls.ts'

const EPERM = 1
const ENOENT = 2
const ENODEV = 19
const ENOLINK = 67
/** bpf_link_info, union of the types. */
const INFO_BYTES = 64

export type LinkInfo = {
  readonly type: LinkType | `type ${number}`
  readonly id: number
  readonly programId: number
  /** Of tcx, xdp and netkit links; 0 when the device is gone. */
  readonly ifindex?: number
  readonly attachType?: AttachType
  /** Inode number of the cgroup or network namespace it hangs on. */
  readonly cgroupId?: bigint
  readonly netnsInode?: number
}

/** Where among the programs of a tcx hook: they run first to last until one gives a verdict. Default: last. */
export type TcxPosition =
  | { readonly at: 'first' | 'last' }
  | { readonly before: Link | Program }
  | { readonly after: Link | Program }

const BPF_F_BEFORE = 1 << 3
const BPF_F_AFTER = 1 << 4
const BPF_F_LINK = 1 << 13
const XDP_FLAGS_SKB_MODE = 1 << 1
const XDP_FLAGS_DRV_MODE = 1 << 2

/**
 * Puts a program on a device's tcx hook (Linux 6.6).
 * @throws DeviceGoneError, BpfError EEXIST (the program is on this hook already), FeatureError, PermissionError
 */
export function attachTcx(
  program: Program,
  ifindex: number,
  direction: 'ingress' | 'egress',
  position: TcxPosition = { at: 'last' },
): Link {
  const where = `attach ${program.name} to tcx ${direction} of device ${ifindex}`
  const attachType = ATTACH_TYPE[`tcx_${direction}`]
  return create('tcx', where, { programFd: program.fd, target: ifindex, attachType, ...ordering(position) })
}

/**
 * The same off the event loop: the kernel waits for a grace period, about 10 ms, in every change of a tcx hook. The device is
 * looked up in the network namespace that the process was started in, since the thread that does it is in that one.
 */
export async function attachTcxAsync(
  program: Program,
  ifindex: number,
  direction: 'ingress' | 'egress',
): Promise<Link> {
  const fd = await linkCreateAsync({
    programFd: program.fd,
    target: ifindex,
    attachType: direction === 'ingress' ? ATTACH_TYPE.tcx_ingress : ATTACH_TYPE.tcx_egress,
    ...ordering({ at: 'last' }),
  })
  // A thread cannot tell why it failed: the same again here does.
  return fd >= 0 ? Link.adopt(fd) : attachTcx(program, ifindex, direction)
}

/** Puts a program on a device's XDP hook: before any buffer is made (`native`), or after (`generic`). One link a device: EBUSY. */
export function attachXdp(program: Program, ifindex: number, mode: 'native' | 'generic'): Link {
  const flags = mode === 'native' ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE
  const where = `attach ${program.name} to XDP (${mode}) of device ${ifindex}`
  if (!mayExist(ifindex)) throw new DeviceGoneError(where, ENODEV, 'there is no such device')
  return create('bpf', where, { programFd: program.fd, target: ifindex, attachType: ATTACH_TYPE.xdp, flags })
}

/** Puts a program on a hook of a cgroup and all below it. @param cgroup path of the cgroup's folder (cgroup v2) */
export function attachCgroup(program: Program, cgroup: string, attachType: AttachType): Link {
  return attachToFile(program, cgroup, attachType, 'bpf')
}

/** Puts a sk_lookup program on a network namespace. @param netns path of the namespace, such as `/run/netns/a` */
export function attachNetns(program: Program, netns: string): Link {
  return attachToFile(program, netns, 'sk_lookup', 'sk_lookup')
}

/** A program on a tcx hook; `linkId` is 0 where it was attached without a link. */
export type AttachedProgram = { readonly programId: number; readonly linkId: number }

const MAX_PROGRAMS = 64

/** What runs on a device's tcx hook, in that order. @throws DeviceGoneError */
export function queryTcx(ifindex: number, direction: 'ingress' | 'egress'): AttachedProgram[] {
  const programs = stableBuffer(4 * MAX_PROGRAMS)
  const links = stableBuffer(4 * MAX_PROGRAMS)
  const operation = `query tcx ${direction} of device ${ifindex}`
  const result = programQuery(ifindex, ATTACH_TYPE[`tcx_${direction}`], programs, links)
  if (result === -ENODEV) throw new DeviceGoneError(operation, ENODEV, 'there is no such device')
  if (result < 0 && result !== -ENOENT) explain('tcx')
  const count = result === -ENOENT ? 0 : succeed(operation, result)
  return Array.from({ length: count }, (_, index) => ({
    programId: programs.readUInt32LE(4 * index),
    linkId: links.readUInt32LE(4 * index),
  }))
}

/** An XDP attach to a missing device fails with a mere EINVAL; a tcx query (Linux 6.6) tells. */
function mayExist(ifindex: number): boolean {
  return programQuery(ifindex, ATTACH_TYPE.tcx_ingress, stableBuffer(4), stableBuffer(4)) !== -ENODEV
}

function attachToFile(program: Program, path: string, attachType: AttachType, feature: 'bpf' | 'sk_lookup'): Link {
  const target = openSync(path, 'r')
  try {
    const where = `attach ${program.name} to ${attachType} of ${path}`
    return create(feature, where, { programFd: program.fd, target, attachType: ATTACH_TYPE[attachType] })
  } finally {
    closeSync(target)
  }
}

function ordering(position: TcxPosition): { flags: number; relativeFd?: number } {
  if ('at' in position) return { flags: position.at === 'first' ? BPF_F_BEFORE : BPF_F_AFTER }
  const [anchor, flag] = 'before' in position ? [position.before, BPF_F_BEFORE] : [position.after, BPF_F_AFTER]
  return { flags: flag | (anchor instanceof Link ? BPF_F_LINK : 0), relativeFd: anchor.fd }
}

function create(feature: Parameters<typeof explain>[0], where: string, link: LinkCreation): Link {
  const fd = linkCreate(link)
  if (fd === -ENODEV) throw new DeviceGoneError(where, ENODEV, 'there is no such device')
  if (fd < 0) explain(feature)
  return Link.adopt(succeed(where, fd))
}

export class Link {
  readonly id: number
  #fd: number

  private constructor(fd: number, id: number) {
    this.#fd = fd
    this.id = id
  }

  /** Takes over a link's descriptor; it is closed if that fails. */
  static adopt(fd: number): Link {
    try {
      return new Link(fd, readInfo(fd).id)
    } catch (error) {
      close(fd)
      throw error
    }
  }

  static byId(id: number): Link {
    return Link.adopt(succeed(`open link ${id}`, fdById(COMMAND.LINK_GET_FD_BY_ID, id)))
  }

  get fd(): number {
    return this.#fd
  }

  info(): LinkInfo {
    return readInfo(this.#fd)
  }

  /** Whether the device it hangs on is gone: such a link never comes back. */
  isDangling(): boolean {
    return this.info().ifindex === 0
  }

  /**
   * Exchanges the program between one packet and the next.
   * @param expectedOld exchange only if this is the program there
   * @throws ProgramChangedError when it is not, DeviceGoneError
   */
  update(program: Program, expectedOld?: Program): void {
    const operation = `update link ${this.id} to ${program.name}`
    const result = linkUpdate(this.#fd, program.fd, expectedOld?.fd)
    if (result === -ENOLINK) throw new DeviceGoneError(operation, ENOLINK, 'the device is gone')
    if (result === -EPERM && expectedOld)
      throw new ProgramChangedError(operation, EPERM, `it does not run ${expectedOld.name} any more`)
    succeed(operation, result)
  }

  /** Takes the program off the hook now, whoever else holds the link. */
  detach(): void {
    succeed(`detach link ${this.id}`, linkDetach(this.#fd))
  }

  /** Keeps the link without this process. @param path in a bpffs, without a dot in the last part */
  pin(path: string): void {
    succeed(`pin link ${this.id} to ${path}`, objectPin(this.#fd, path))
  }

  /** Gives the descriptor back; the program leaves the hook unless the link is pinned or open elsewhere. */
  close(): void {
    if (this.#fd >= 0) close(this.#fd)
    this.#fd = -1
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function readInfo(fd: number): LinkInfo {
  const info = stableBuffer(INFO_BYTES)
  succeed('describe link', objectInfo(fd, info))
  const number = info.readUInt32LE(0)
  const type = linkTypeName(number) ?? (`type ${number}` as const)
  const common = { type, id: info.readUInt32LE(4), programId: info.readUInt32LE(8) }
  const attachedAs = (offset: number) => {
    const attachType = attachTypeName(info.readUInt32LE(offset))
    return attachType ? { attachType } : {}
  }
  switch (type) {
    case 'xdp':
      return { ...common, ifindex: info.readUInt32LE(16), attachType: 'xdp' }
    case 'tcx':
    case 'netkit':
      return { ...common, ifindex: info.readUInt32LE(16), ...attachedAs(20) }
    case 'cgroup':
      return { ...common, cgroupId: info.readBigUInt64LE(16), ...attachedAs(24) }
    case 'netns':
      return { ...common, netnsInode: info.readUInt32LE(16), ...attachedAs(20) }
    default:
      return common
  }
}
