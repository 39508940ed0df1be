// What this kernel can do, found out by trying on nothing: each probe makes a
// call that has no effect and reads the answer. A missing feature is told apart
// from a missing permission, and names the Linux version that brings it.

import { release } from 'node:os'
import { bpf, close, stableBuffer } from '../sys/native.ts'
import { ATTACH_TYPE, MAP_FLAG, MAP_TYPE, PROGRAM_FLAG, PROGRAM_TYPE } from './constants.ts'
import { BpfError, FeatureError, PermissionError } from './errors.ts'
import { batchAttr, btfLoad, COMMAND, linkCreate, mapCreate, programLoad } from './syscalls.ts'

export type Feature = keyof typeof FEATURES
export type ProbeResult = {
  readonly feature: Feature
  /** In words, plural, as in "tcx links". */
  readonly title: string
  /** Linux version that brings it. */
  readonly since: string
  readonly answer: 'supported' | 'missing' | 'no permission'
}

/** `undefined` stands for "not allowed to know". */
type Answer = boolean | undefined
type Probe = { readonly title: string; readonly since: string; readonly probe: () => Answer }

const EPERM = 1
const EINVAL = 22
const ENODEV = 19
const ENOTSUPP = 524
/** No device has this index, so nothing is ever attached. */
const NO_DEVICE = 0x7fff_ffff
const HELPER = { redirect_peer: 155, timer_init: 169, bpf_loop: 181, set_retval: 187 } as const

const FEATURES = {
  bpf: { title: 'BPF maps', since: '3.19', probe: () => createsMap('array', 4, 4) },
  btf: { title: 'BTF types', since: '4.18', probe: () => judge(btfLoad(intBtf())) },
  lpm_trie: {
    title: 'longest-prefix maps',
    since: '4.11',
    probe: () => createsMap('lpm_trie', 8, 4, MAP_FLAG.NO_PREALLOC),
  },
  hash_of_maps: { title: 'maps of maps', since: '4.12', probe: createsHashOfMaps },
  batch: { title: 'batch operations on maps', since: '5.6', probe: () => takesBatches('hash', 4, 0) },
  sk_storage: { title: 'socket storage maps', since: '5.2', probe: createsSocketStorage },
  ringbuf: { title: 'ring buffers', since: '5.8', probe: () => createsMap('ringbuf', 0, 0, 0, 1 << 18) },
  sk_lookup: { title: 'sk_lookup programs', since: '5.9', probe: () => loads('sk_lookup', [], ATTACH_TYPE.sk_lookup) },
  redirect_peer: {
    title: 'programs that call bpf_redirect_peer',
    since: '5.10',
    probe: () => hasHelper(HELPER.redirect_peer),
  },
  lpm_batch: {
    title: 'batch operations on longest-prefix maps',
    since: '5.13',
    probe: () => takesBatches('lpm_trie', 8, MAP_FLAG.NO_PREALLOC),
  },
  syscall_program: {
    title: 'syscall programs',
    since: '5.14',
    probe: () => loads('syscall', [], 0, PROGRAM_FLAG.SLEEPABLE),
  },
  timer: { title: 'programs that call bpf_timer_init', since: '5.15', probe: () => hasHelper(HELPER.timer_init) },
  bpf_loop: { title: 'programs that call bpf_loop', since: '5.17', probe: () => hasHelper(HELPER.bpf_loop) },
  // The helper is of 5.18; programs on sockets' addresses may call it since 6.1.
  set_retval: {
    title: 'socket programs that call bpf_set_retval',
    since: '6.1',
    probe: () => hasHelper(HELPER.set_retval, 'cgroup_sock_addr', ATTACH_TYPE.cgroup_inet4_connect),
  },
  tcx: { title: 'tcx links', since: '6.6', probe: () => attachesTo(ATTACH_TYPE.tcx_ingress) },
  netkit: { title: 'netkit links', since: '6.7', probe: () => attachesTo(ATTACH_TYPE.netkit_primary) },
} as const satisfies Record<string, Probe>

const answers = new Map<Feature, Answer>()

/** Asks the kernel, once a process. */
export function probe(feature: Feature): ProbeResult {
  const { title, since, probe: ask } = FEATURES[feature]
  const answer = answers.has(feature) ? answers.get(feature) : ask()
  // A permission may yet come; what the kernel has does not change.
  if (answer !== undefined) answers.set(feature, answer)
  return { feature, title, since, answer: answer === undefined ? 'no permission' : answer ? 'supported' : 'missing' }
}

export function probeAll(): ProbeResult[] {
  return (Object.keys(FEATURES) as Feature[]).map(probe)
}

/** @throws FeatureError naming the Linux version needed, PermissionError */
export function requireFeature(feature: Feature): void {
  const { title, since, answer } = probe(feature)
  if (answer === 'no permission') throw new PermissionError(`ask the kernel for ${title}`, EPERM)
  if (answer === 'missing') throw new FeatureError(feature, title, since, release())
}

/** After a call failed: throws if the reason is that this kernel lacks the feature, else lets the call's own error speak. */
export function explain(feature: Feature): void {
  const { title, since, answer } = probe(feature)
  if (answer === 'missing') throw new FeatureError(feature, title, since, release())
}

/** Closes what a probe made. @returns the answer an attempt stands for */
function judge(result: number): Answer {
  if (result >= 0) close(result)
  return result === -EPERM ? undefined : result >= 0
}

function createsMap(
  type: keyof typeof MAP_TYPE,
  keySize: number,
  valueSize: number,
  flags = 0,
  maxEntries = 1,
): Answer {
  return judge(mapCreate({ type: MAP_TYPE[type], keySize, valueSize, maxEntries, flags, name: 'probe' }))
}

function createsHashOfMaps(): Answer {
  const inner = mapCreate({ type: MAP_TYPE.hash, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0, name: 'probe' })
  if (inner < 0) return judge(inner)
  const outer = { type: MAP_TYPE.hash_of_maps, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0, name: 'probe' }
  const answer = judge(mapCreate({ ...outer, innerMapFd: inner }))
  close(inner)
  return answer
}

function takesBatches(type: 'hash' | 'lpm_trie', keySize: number, flags: number): Answer {
  const fd = mapCreate({ type: MAP_TYPE[type], keySize, valueSize: 4, maxEntries: 1, flags, name: 'probe' })
  if (fd < 0) return judge(fd)
  const keys = stableBuffer(8)
  const values = stableBuffer(8)
  const result = bpf(COMMAND.MAP_UPDATE_BATCH, batchAttr({ mapFd: fd, keys, values, count: 0 }))
  close(fd)
  if (result < 0 && result !== -ENOTSUPP && result !== -EINVAL) throw new BpfError('probe batch operations', -result)
  return result >= 0
}

/** BTF of a single type, `int`. */
function intBtf(): Uint8Array {
  const strings = Buffer.from('\0int\0')
  const bytes = Buffer.alloc(24 + 16 + strings.length)
  bytes.writeUInt16LE(0xeb9f, 0)
  bytes.writeUInt8(1, 2)
  bytes.writeUInt32LE(24, 4)
  bytes.writeUInt32LE(16, 12)
  bytes.writeUInt32LE(16, 16)
  bytes.writeUInt32LE(strings.length, 20)
  bytes.writeUInt32LE(1, 24) // name
  bytes.writeUInt32LE(1 << 24, 28) // kind: int
  bytes.writeUInt32LE(4, 32) // size
  bytes.writeUInt32LE((1 << 24) | 32, 36) // signed, 32 bits
  strings.copy(bytes, 40)
  return bytes
}

function createsSocketStorage(): Answer {
  const btf = btfLoad(intBtf())
  if (btf < 0) return judge(btf)
  const answer = judge(
    mapCreate({
      type: MAP_TYPE.sk_storage,
      keySize: 4,
      valueSize: 4,
      maxEntries: 0,
      flags: MAP_FLAG.NO_PREALLOC,
      name: 'probe',
      btf: { fd: btf, keyType: 1, valueType: 1 },
    }),
  )
  close(btf)
  return answer
}

const MOVE_IMMEDIATE = 0xb7
const CALL = 0x85
const EXIT = 0x95

/** `[call HELPER]; r0 = 1; exit` */
function program(calls: readonly number[]): Uint8Array {
  const steps = [...calls.map(helper => [CALL, 0, helper]), [MOVE_IMMEDIATE, 0, 1], [EXIT, 0, 0]] as const
  const bytes = Buffer.alloc(8 * steps.length)
  steps.forEach(([opcode = 0, register = 0, immediate = 0], index) => {
    bytes.writeUInt8(opcode, 8 * index)
    bytes.writeUInt8(register, 8 * index + 1)
    bytes.writeInt32LE(immediate, 8 * index + 4)
  })
  return bytes
}

function loads(type: keyof typeof PROGRAM_TYPE, calls: readonly number[], attachType: number, flags = 0): Answer {
  const instructions = program(calls)
  return judge(
    programLoad({ type: PROGRAM_TYPE[type], attachType, flags, name: 'probe', license: 'GPL', instructions }),
  )
}

/** The verifier looks a helper up before it looks at the arguments: only its log tells the two refusals apart. */
function hasHelper(helper: number, type: keyof typeof PROGRAM_TYPE = 'sched_cls', attachType = 0): Answer {
  const buffer = stableBuffer(1 << 14)
  const load = { type: PROGRAM_TYPE[type], attachType, flags: 0, name: 'probe', license: 'GPL' }
  const fd = programLoad({ ...load, instructions: program([helper]), log: { level: 1, buffer } })
  if (fd >= 0 || fd === -EPERM) return judge(fd)
  return !/invalid func|unknown func|cannot use helper/.test(buffer.toString('latin1'))
}

/** Attaching to a device that does not exist: a kernel that knows the hook looks for the device. */
function attachesTo(attachType: number): Answer {
  const load = { type: PROGRAM_TYPE.sched_cls, attachType: 0, flags: 0, name: 'probe', license: 'GPL' }
  const fd = programLoad({ ...load, instructions: program([]) })
  if (fd < 0) return judge(fd)
  const result = linkCreate({ programFd: fd, target: NO_DEVICE, attachType })
  close(fd)
  if (result === -EPERM) return undefined
  return result === -ENODEV
}
