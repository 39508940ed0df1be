// Every error this library throws, by class: callers decide by class or `code`,
// people read the message, which says what was attempted, on which object, and
// where it helps what to do. Nothing else of the library defines an error.

import { SystemError } from '../sys/errors.ts'

/** A bpf(2) call that failed. `log` is the kernel's own explanation, where it gave one. */
export class BpfError extends SystemError {
  override readonly name: string = 'BpfError'
  readonly log: string

  constructor(operation: string, errno: number, detail = '', log = '') {
    super(operation, errno, detail)
    this.log = log
  }
}

/** A program the verifier refused. `log` is the verifier's whole log, with C source lines where the object has them. */
export class VerifierError extends BpfError {
  override readonly name = 'VerifierError'
  readonly program: string

  constructor(program: string, errno: number, log: string) {
    super(`load program ${program}`, errno, `the verifier refused it\n${lastLines(log, 25)}`, log)
    this.program = program
  }
}

/** A map with no room for one more entry. `done` entries of the batch were written before it. */
export class MapFullError extends BpfError {
  override readonly name = 'MapFullError'
  readonly map: string
  readonly maxEntries: number
  readonly done: number

  constructor(map: string, maxEntries: number, errno: number, done = 0) {
    super(`update map ${map}`, errno, `the map is full (max_entries ${maxEntries})`)
    this.map = map
    this.maxEntries = maxEntries
    this.done = done
  }
}

/** The device a link hangs on does not exist (any more). Unpin the link and make a new one when the device is back. */
export class DeviceGoneError extends BpfError {
  override readonly name = 'DeviceGoneError'
}

/** The link runs another program than the one expected: somebody else replaced it. */
export class ProgramChangedError extends BpfError {
  override readonly name = 'ProgramChangedError'
}

/** The kernel may well have the feature; this process is not allowed to use it. */
export class PermissionError extends BpfError {
  override readonly name = 'PermissionError'

  constructor(operation: string, errno: number) {
    super(operation, errno, 'needs root, or CAP_BPF with CAP_NET_ADMIN')
  }
}

/** This kernel lacks a feature. `since` is the Linux version that brings it. */
export class FeatureError extends Error {
  override readonly name = 'FeatureError'
  readonly code = 'NO_FEATURE'
  readonly feature: string
  readonly since: string
  readonly kernel: string

  constructor(feature: string, title: string, since: string, kernel: string) {
    super(
      isOlder(kernel, since)
        ? `${title} need Linux ${since}; this kernel is ${kernel}`
        : `this kernel (${kernel}) was built without ${title}, which Linux has since ${since}`,
    )
    this.feature = feature
    this.since = since
    this.kernel = kernel
  }
}

/** Bytes that are not a BPF object, or an object that asks for something this loader does not do. */
export class FormatError extends Error {
  override readonly name = 'FormatError'
  readonly code = 'BAD_OBJECT'
}

/** A value that does not fit its C type. `path` names struct and field, as in `struct policy_key.port`. */
export class CodecError extends Error {
  override readonly name = 'CodecError'
  readonly code = 'BAD_VALUE'
  readonly path: string

  constructor(path: string, problem: string) {
    super(`${path}: ${problem}`)
    this.path = path
  }
}

export type MapField = 'type' | 'keySize' | 'valueSize' | 'maxEntries' | 'flags'

/** A map given or pinned for reuse that differs from what the object declares. */
export class MapMismatchError extends Error {
  override readonly name = 'MapMismatchError'
  readonly code = 'MAP_MISMATCH'
  readonly map: string
  readonly field: MapField
  readonly wanted: string | number
  readonly found: string | number

  constructor(map: string, field: MapField, wanted: string | number, found: string | number) {
    super(`map ${map} cannot be reused: its ${field} is ${found}, the object declares ${wanted}`)
    this.map = map
    this.field = field
    this.wanted = wanted
    this.found = found
  }
}

/** A pin directory that holds objects of another schema version. */
export class SchemaVersionError extends Error {
  override readonly name = 'SchemaVersionError'
  readonly code = 'SCHEMA_VERSION'
  readonly path: string
  readonly wanted: number
  readonly found: readonly number[]

  constructor(path: string, wanted: number, found: readonly number[]) {
    super(
      `${path} holds pins of schema version ${found.join(', ')}, and this program knows version ${wanted}: start the ` +
        `program that made them, or, when nothing needs what is pinned there, remove ${found.map(n => `${path}/v${n}`).join(' ')}`,
    )
    this.path = path
    this.wanted = wanted
    this.found = found
  }
}

/** Whether a kernel release such as `6.1.0-18-amd64` is older than a version such as `6.6`. */
function isOlder(kernel: string, version: string): boolean {
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number)
  const [wantedMajor = 0, wantedMinor = 0] = version.split('.').map(Number)
  return major < wantedMajor || (major === wantedMajor && minor < wantedMinor)
}

function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n')
}
