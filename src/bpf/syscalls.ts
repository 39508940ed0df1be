// Commands of bpf(2) and the layout of `union bpf_attr` for each, in one place.
// Every call returns a result >= 0 or a negated errno; whoever calls adds what
// was attempted (`succeed`). Descriptors are owned by the caller.
// Source: include/uapi/linux/bpf.h, `union bpf_attr`.

import { readFileSync } from 'node:fs'
import { addressOf, bpf, bpfAsync, keepAlive, stableBuffer } from '../sys/native.ts'
import { BpfError, PermissionError } from './errors.ts'

export const COMMAND = {
  MAP_CREATE: 0,
  MAP_LOOKUP_ELEM: 1,
  MAP_UPDATE_ELEM: 2,
  MAP_DELETE_ELEM: 3,
  MAP_GET_NEXT_KEY: 4,
  PROG_LOAD: 5,
  OBJ_PIN: 6,
  OBJ_GET: 7,
  PROG_TEST_RUN: 10,
  PROG_GET_FD_BY_ID: 13,
  MAP_GET_FD_BY_ID: 14,
  OBJ_GET_INFO_BY_FD: 15,
  PROG_QUERY: 16,
  BTF_LOAD: 18,
  MAP_FREEZE: 22,
  MAP_LOOKUP_BATCH: 24,
  MAP_UPDATE_BATCH: 26,
  MAP_DELETE_BATCH: 27,
  LINK_CREATE: 28,
  LINK_UPDATE: 29,
  LINK_GET_FD_BY_ID: 30,
  ENABLE_STATS: 32,
  LINK_DETACH: 34,
} as const

const EPERM = 1
const EAGAIN = 11
const LOAD_ATTEMPTS = 5

/** Passes a result through. @throws PermissionError, BpfError */
export function succeed(operation: string, result: number, detail = ''): number {
  if (result === -EPERM) throw new PermissionError(operation, EPERM)
  if (result < 0) throw new BpfError(operation, -result, detail)
  return result
}

/** The name the kernel keeps: 15 bytes of letters, digits, `_` and `.`. */
export const kernelName = (name: string): string => name.replaceAll(/[^A-Za-z0-9_.]/g, '_').slice(0, 15)

/** A copy whose address may be given to the kernel. */
export function stableCopy(bytes: Uint8Array): Buffer {
  const copy = stableBuffer(bytes.length)
  copy.set(bytes)
  return copy
}

const cString = (text: string): Buffer => stableCopy(Buffer.from(`${text}\0`))

export type MapCreation = {
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  readonly name: string
  readonly innerMapFd?: number
  readonly btf?: { readonly fd: number; readonly keyType: number; readonly valueType: number }
}

export function mapCreate(map: MapCreation): number {
  const attr = stableBuffer(72)
  attr.writeUInt32LE(map.type, 0)
  attr.writeUInt32LE(map.keySize, 4)
  attr.writeUInt32LE(map.valueSize, 8)
  attr.writeUInt32LE(map.maxEntries, 12)
  attr.writeUInt32LE(map.flags, 16)
  attr.writeUInt32LE(map.innerMapFd ?? 0, 20)
  attr.write(kernelName(map.name), 28, 15, 'latin1')
  attr.writeUInt32LE(map.btf?.fd ?? 0, 48)
  attr.writeUInt32LE(map.btf?.keyType ?? 0, 52)
  attr.writeUInt32LE(map.btf?.valueType ?? 0, 56)
  return bpf(COMMAND.MAP_CREATE, attr)
}

/**
 * attr of the single-element commands. Made once a map: `flags` at 24 changes from call to call.
 * @param value also the place of the next key for MAP_GET_NEXT_KEY
 */
export function elementAttr(mapFd: number, key: Buffer | undefined, value: Buffer | undefined): Buffer {
  const attr = stableBuffer(32)
  attr.writeInt32LE(mapFd, 0)
  if (key) attr.writeBigUInt64LE(addressOf(key), 8)
  if (value) attr.writeBigUInt64LE(addressOf(value), 16)
  return attr
}
export const ELEMENT_FLAGS = 24

/** attr of the batch commands; the kernel writes the number of entries done to `BATCH_COUNT`. */
export function batchAttr(batch: {
  readonly mapFd: number
  readonly keys: Buffer
  readonly values?: Buffer
  readonly count: number
  readonly elementFlags?: number
  readonly from?: Buffer | undefined
  readonly next?: Buffer
}): Buffer {
  const attr = stableBuffer(56)
  if (batch.from) attr.writeBigUInt64LE(addressOf(batch.from), 0)
  if (batch.next) attr.writeBigUInt64LE(addressOf(batch.next), 8)
  attr.writeBigUInt64LE(addressOf(batch.keys), 16)
  if (batch.values) attr.writeBigUInt64LE(addressOf(batch.values), 24)
  attr.writeUInt32LE(batch.count, BATCH_COUNT)
  attr.writeInt32LE(batch.mapFd, 36)
  attr.writeBigUInt64LE(BigInt(batch.elementFlags ?? 0), 40)
  return attr
}
export const BATCH_COUNT = 32

export type ProgramLoad = {
  readonly type: number
  readonly attachType: number
  readonly flags: number
  readonly name: string
  readonly license: string
  readonly instructions: Uint8Array
  readonly btfFd?: number
  readonly functionInfo?: { readonly records: Uint8Array; readonly recordSize: number }
  readonly lineInfo?: { readonly records: Uint8Array; readonly recordSize: number }
  readonly log?: { readonly level: number; readonly buffer: Buffer }
}

export function programLoad(program: ProgramLoad): number {
  const attr = stableBuffer(144)
  const instructions = stableCopy(program.instructions)
  const license = cString(program.license)
  attr.writeUInt32LE(program.type, 0)
  attr.writeUInt32LE(instructions.length / 8, 4)
  attr.writeBigUInt64LE(addressOf(instructions), 8)
  attr.writeBigUInt64LE(addressOf(license), 16)
  if (program.log) {
    attr.writeUInt32LE(program.log.level, 24)
    attr.writeUInt32LE(program.log.buffer.length, 28)
    attr.writeBigUInt64LE(addressOf(program.log.buffer), 32)
  }
  attr.writeUInt32LE(program.flags, 44)
  attr.write(kernelName(program.name), 48, 15, 'latin1')
  attr.writeUInt32LE(program.attachType, 68)
  const kept = [instructions, license, program.log?.buffer]
  if (program.btfFd !== undefined) {
    attr.writeUInt32LE(program.btfFd, 72)
    kept.push(writeInfo(attr, 76, program.functionInfo), writeInfo(attr, 92, program.lineInfo))
  }
  // The verifier gives up when a signal interrupts it, and asks to be run again.
  let result = -EAGAIN
  for (let attempt = 0; result === -EAGAIN && attempt < LOAD_ATTEMPTS; attempt++) result = bpf(COMMAND.PROG_LOAD, attr)
  keepAlive(kept)
  return result
}

/** Record size, address and count of a table, as PROG_LOAD takes them. */
function writeInfo(attr: Buffer, at: number, info: ProgramLoad['functionInfo']): Buffer | undefined {
  if (!info || info.records.length === 0) return undefined
  const records = stableCopy(info.records)
  attr.writeUInt32LE(info.recordSize, at)
  attr.writeBigUInt64LE(addressOf(records), at + 4)
  attr.writeUInt32LE(records.length / info.recordSize, at + 12)
  return records
}

export function btfLoad(btf: Uint8Array, log?: Buffer): number {
  const bytes = stableCopy(btf)
  const attr = stableBuffer(32)
  attr.writeBigUInt64LE(addressOf(bytes), 0)
  attr.writeUInt32LE(bytes.length, 16)
  if (log) {
    attr.writeBigUInt64LE(addressOf(log), 8)
    attr.writeUInt32LE(log.length, 20)
    attr.writeUInt32LE(1, 24)
  }
  const result = bpf(COMMAND.BTF_LOAD, attr)
  keepAlive([bytes, log])
  return result
}

export function objectPin(fd: number, path: string): number {
  const name = cString(path)
  const attr = stableBuffer(16)
  attr.writeBigUInt64LE(addressOf(name), 0)
  attr.writeInt32LE(fd, 8)
  const result = bpf(COMMAND.OBJ_PIN, attr)
  keepAlive(name)
  return result
}

/** Opens a pinned map, program or link. */
export function objectGet(path: string): number {
  const name = cString(path)
  const attr = stableBuffer(16)
  attr.writeBigUInt64LE(addressOf(name), 0)
  const result = bpf(COMMAND.OBJ_GET, attr)
  keepAlive(name)
  return result
}

/** Opens an object by its kernel-wide id: MAP_, PROG_ or LINK_GET_FD_BY_ID. */
export function fdById(command: number, id: number): number {
  const attr = stableBuffer(12)
  attr.writeUInt32LE(id, 0)
  return bpf(command, attr)
}

/** Fills `info` with the kernel's description of an object. The buffer may carry addresses for the kernel to write to. */
export function objectInfo(fd: number, info: Buffer): number {
  const attr = stableBuffer(16)
  attr.writeInt32LE(fd, 0)
  attr.writeUInt32LE(info.length, 4)
  attr.writeBigUInt64LE(addressOf(info), 8)
  const result = bpf(COMMAND.OBJ_GET_INFO_BY_FD, attr)
  keepAlive(info)
  return result
}

/** Bytes of kernel memory a map or program takes, as its `fdinfo` tells. */
export function memoryBytes(fd: number): number {
  const line = /^memlock:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))
  return Number(line?.[1] ?? 0)
}

export function mapFreeze(fd: number): number {
  const attr = stableBuffer(4)
  attr.writeInt32LE(fd, 0)
  return bpf(COMMAND.MAP_FREEZE, attr)
}

/** Starts the kernel's counting of program runs; it stops when the descriptor is closed. */
export function enableRunStatistics(): number {
  return bpf(COMMAND.ENABLE_STATS, stableBuffer(4))
}

export type LinkCreation = {
  readonly programFd: number
  /** Interface index, or descriptor of a cgroup or network namespace. */
  readonly target: number
  readonly attachType: number
  readonly flags?: number
  readonly relativeFd?: number
}

export function linkCreate(link: LinkCreation): number {
  return bpf(COMMAND.LINK_CREATE, linkCreateAttr(link))
}

/** The same on a thread, for hooks whose change waits for a grace period. @returns a descriptor, or -1 without an errno */
export function linkCreateAsync(link: LinkCreation): Promise<number> {
  return bpfAsync(COMMAND.LINK_CREATE, linkCreateAttr(link))
}

function linkCreateAttr(link: LinkCreation): Buffer {
  const attr = stableBuffer(32)
  attr.writeInt32LE(link.programFd, 0)
  attr.writeInt32LE(link.target, 4)
  attr.writeUInt32LE(link.attachType, 8)
  attr.writeUInt32LE(link.flags ?? 0, 12)
  attr.writeUInt32LE(link.relativeFd ?? 0, 16)
  return attr
}

/** What is on a hook of a device. @returns number of programs; their ids are in `programIds`, those of their links in `linkIds` */
export function programQuery(ifindex: number, attachType: number, programIds: Buffer, linkIds: Buffer): number {
  const attr = stableBuffer(64)
  attr.writeUInt32LE(ifindex, 0)
  attr.writeUInt32LE(attachType, 4)
  attr.writeBigUInt64LE(addressOf(programIds), 16)
  attr.writeUInt32LE(programIds.length / 4, 24)
  attr.writeBigUInt64LE(addressOf(linkIds), 40)
  const result = bpf(COMMAND.PROG_QUERY, attr)
  keepAlive([programIds, linkIds])
  return result < 0 ? result : attr.readUInt32LE(24)
}

const BPF_F_REPLACE = 4

export function linkUpdate(linkFd: number, programFd: number, expectedOldFd?: number): number {
  const attr = stableBuffer(16)
  attr.writeInt32LE(linkFd, 0)
  attr.writeInt32LE(programFd, 4)
  if (expectedOldFd !== undefined) {
    attr.writeUInt32LE(BPF_F_REPLACE, 8)
    attr.writeInt32LE(expectedOldFd, 12)
  }
  return bpf(COMMAND.LINK_UPDATE, attr)
}

export function linkDetach(fd: number): number {
  const attr = stableBuffer(4)
  attr.writeInt32LE(fd, 0)
  return bpf(COMMAND.LINK_DETACH, attr)
}

export type TestRunAttr = {
  readonly programFd: number
  readonly packet?: Uint8Array | undefined
  readonly context?: Uint8Array | undefined
  readonly packetOutputSize: number
  readonly repeat: number
}

export type TestRunResult = {
  readonly result: number
  readonly returnValue: number
  readonly durationNs: number
  readonly packet: Uint8Array
  readonly context: Uint8Array
}

export function programTestRun(run: TestRunAttr, outputContext: boolean): TestRunResult {
  const attr = stableBuffer(80)
  const packetIn = run.packet && stableCopy(run.packet)
  const packetOut = stableBuffer(packetIn ? run.packetOutputSize : 0)
  const contextIn = run.context && stableCopy(run.context)
  const contextOut = stableBuffer(contextIn && outputContext ? contextIn.length : 0)
  attr.writeInt32LE(run.programFd, 0)
  if (packetIn) {
    attr.writeUInt32LE(packetIn.length, 8)
    attr.writeUInt32LE(packetOut.length, 12)
    attr.writeBigUInt64LE(addressOf(packetIn), 16)
    attr.writeBigUInt64LE(addressOf(packetOut), 24)
  }
  attr.writeUInt32LE(run.repeat, 32)
  if (contextIn) {
    attr.writeUInt32LE(contextIn.length, 40)
    attr.writeBigUInt64LE(addressOf(contextIn), 48)
    if (outputContext) {
      attr.writeUInt32LE(contextOut.length, 44)
      attr.writeBigUInt64LE(addressOf(contextOut), 56)
    }
  }
  const result = bpf(COMMAND.PROG_TEST_RUN, attr)
  keepAlive([packetIn, packetOut, contextIn, contextOut])
  // A syscall program writes its context in place: there is no separate output.
  const context = outputContext ? contextOut.subarray(0, attr.readUInt32LE(44)) : contextIn
  return {
    result,
    returnValue: attr.readInt32LE(4),
    durationNs: attr.readUInt32LE(36),
    packet: packetOut.subarray(0, Math.min(attr.readUInt32LE(12), packetOut.length)),
    context: context ?? new Uint8Array(0),
  }
}
