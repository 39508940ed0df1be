// A program in the kernel: what it is, how often it ran, and running it once with
// a packet and context of the caller's. Owns its descriptor.

import { close, stableBuffer } from '../sys/native.ts'
import { type ProgramType, programTypeName } from './constants.ts'
import { decodeSkBuff, encodeSkBuff, type SkBuffContext } from './context.ts'
import { COMMAND, enableRunStatistics, fdById, memoryBytes, objectInfo, programTestRun, succeed } from './syscalls.ts'

export type ProgramInfo = {
  readonly id: number
  readonly type: ProgramType | `type ${number}`
  readonly name: string
  /** Hash of the instructions, as bpftool prints it. */
  readonly tag: string
  /** Bytes of machine code; 0 where it is interpreted. */
  readonly jitedSize: number
  /** Bytes of instructions after the verifier. */
  readonly translatedSize: number
  /** Counted only while statistics are on: see `countProgramRuns`. */
  readonly runTimeNs: bigint
  readonly runCount: bigint
  readonly verifiedInstructions: number
  readonly mapCount: number
  /** Bytes of kernel memory the instructions take. */
  readonly memoryBytes: number
}

export type TestRun = {
  /** The frame to run on, from its Ethernet header. */
  readonly packet?: Uint8Array
  /** Fields of `__sk_buff` for tc programs; raw bytes for any other type. */
  readonly context?: SkBuffContext | Uint8Array
  /** How often to run; 0 and 1 are once. The result is that of the last run. */
  readonly repeat?: number
  /** Room for the resulting frame. Default: the frame's size and 512 bytes. */
  readonly outputSize?: number
}

export type TestResult = {
  /** What the program returned, as a signed number: TCX_NEXT is -1. */
  readonly returnValue: number
  readonly packet: Uint8Array
  /** `__sk_buff` as the program left it; for other types, or without a context given, all zero. */
  readonly context: Required<SkBuffContext>
  /** The raw context as the program left it. */
  readonly rawContext: Uint8Array
  /** Mean of one run. */
  readonly durationNs: number
}

/** Types whose context the kernel gives back apart from the input. Others take none, or write in place. */
const GIVES_CONTEXT: ReadonlySet<string> = new Set<ProgramType>([
  'sched_cls',
  'sched_act',
  'xdp',
  'cgroup_skb',
  'sk_lookup',
])

export class Program {
  readonly name: string
  readonly type: ProgramInfo['type']
  /** Kernel-wide number. */
  readonly id: number
  #fd: number

  private constructor(fd: number, name: string) {
    const info = readInfo(fd)
    this.#fd = fd
    this.name = name || info.name
    this.type = info.type
    this.id = info.id
  }

  /** Takes over a program's descriptor; it is closed if that fails. @param name in full; the kernel keeps 15 bytes */
  static adopt(fd: number, name = ''): Program {
    try {
      return new Program(fd, name)
    } catch (error) {
      close(fd)
      throw error
    }
  }

  static byId(id: number): Program {
    return Program.adopt(succeed(`open program ${id}`, fdById(COMMAND.PROG_GET_FD_BY_ID, id)))
  }

  get fd(): number {
    return this.#fd
  }

  info(): ProgramInfo {
    return readInfo(this.#fd)
  }

  /**
   * Runs the program once, outside any device: what it redirects goes nowhere.
   * @throws BpfError ENOTSUPP for types that cannot be run so (sock_addr, sock_ops), EINVAL for a frame under 14 bytes
   */
  testRun(run: TestRun): TestResult {
    const context = run.context instanceof Uint8Array ? run.context : run.context && encodeSkBuff(run.context)
    const wantsSkBuff = this.type === 'sched_cls' || this.type === 'sched_act' || this.type === 'cgroup_skb'
    const given = context ?? (wantsSkBuff ? encodeSkBuff({}) : undefined)
    const { result, ...output } = programTestRun(
      {
        programFd: this.#fd,
        packet: run.packet,
        context: given,
        packetOutputSize: run.outputSize ?? (run.packet?.length ?? 0) + 512,
        repeat: run.repeat ?? 0,
      },
      GIVES_CONTEXT.has(this.type),
    )
    succeed(`test run of ${this.name}`, result)
    return {
      returnValue: output.returnValue,
      packet: output.packet,
      context: decodeSkBuff(wantsSkBuff ? output.context : new Uint8Array(0)),
      rawContext: output.context,
      durationNs: output.durationNs,
    }
  }

  close(): void {
    if (this.#fd >= 0) close(this.#fd)
    this.#fd = -1
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** `struct bpf_prog_info` as far as it is of use. */
function readInfo(fd: number): ProgramInfo {
  const info = stableBuffer(232)
  succeed('describe program', objectInfo(fd, info))
  const number = info.readUInt32LE(0)
  return {
    id: info.readUInt32LE(4),
    type: programTypeName(number) ?? `type ${number}`,
    tag: info.toString('hex', 8, 16),
    jitedSize: info.readUInt32LE(16),
    translatedSize: info.readUInt32LE(20),
    memoryBytes: memoryBytes(fd),
    mapCount: info.readUInt32LE(52),
    name: info.toString('latin1', 64, 80).replace(/\0.*$/s, ''),
    runTimeNs: info.readBigUInt64LE(192),
    runCount: info.readBigUInt64LE(200),
    verifiedInstructions: info.readUInt32LE(216),
  }
}

/** Has the kernel count the runs of all programs, which costs them some nanoseconds each, until disposed of. */
export function countProgramRuns(): Disposable {
  const fd = succeed('count program runs', enableRunStatistics())
  return { [Symbol.dispose]: () => void close(fd) }
}
