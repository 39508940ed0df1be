// The public API of the BPF library: `import … from 'axoneme/bpf'`.
// docs/bpf-library.md describes it; everything not named here is internal.

export { errnoName, SystemError } from '../sys/errors.ts'
export { Btf, type BtfMember, type BtfType, type FieldLayout, type StructLayout } from './btf.ts'
export { bytesCodec, type Codec, compileCodec } from './codec.ts'
export { possibleCpus } from './codecs-of-map.ts'
export {
  ATTACH_TYPE,
  type AttachType,
  type LinkType,
  MAP_FLAG,
  MAP_TYPE,
  type MapType,
  PROGRAM_TYPE,
  type ProgramType,
} from './constants.ts'
export type { SkBuffContext } from './context.ts'
export { type CreateOptions, createMap } from './create.ts'
export {
  BpfError,
  CodecError,
  DeviceGoneError,
  FeatureError,
  FormatError,
  MapFullError,
  MapMismatchError,
  PermissionError,
  ProgramChangedError,
  SchemaVersionError,
  VerifierError,
} from './errors.ts'
export { KernelBtf } from './kernel-btf.ts'
export { KernelMap } from './kernel-map.ts'
export {
  type AttachedProgram,
  attachCgroup,
  attachNetns,
  attachTcx,
  attachTcxAsync,
  attachXdp,
  Link,
  type LinkInfo,
  queryTcx,
  type TcxPosition,
} from './link.ts'
export { LoadedObject, type LoadOptions, loadObject } from './load.ts'
export type { BpfMap, MapDescription, MapReference, RawVisitor, UpdateMode } from './map.ts'
export { MemoryMap } from './memory-map.ts'
export {
  type DataSection,
  type MapSpec,
  type ObjectSpec,
  type ProgramSpec,
  parseObject,
  type VariableSpec,
} from './object.ts'
export {
  isBpffs,
  openPinnedLink,
  openPinnedMap,
  openPinnedProgram,
  PinDirectory,
  type PinDirectoryOptions,
  type Pinnable,
  pinObject,
  replacePin,
} from './pin.ts'
export { type Feature, type ProbeResult, probe, probeAll, requireFeature } from './probe.ts'
export { countProgramRuns, Program, type ProgramInfo, type TestResult, type TestRun } from './program.ts'
export { type EventVisitor, RingBuffer } from './ringbuffer.ts'
