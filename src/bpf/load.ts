// The Object side: an object's maps and programs in this kernel. Loading is all
// or nothing: what was opened is closed again when a step fails. Programs are
// attached by link.ts; maps outlive the object only where they are pinned.

import { stableBuffer } from '../sys/native.ts'
import { FUNCTION_INFO_RECORD, LINE_INFO_RECORD } from './btf-ext.ts'
import { compileCodec } from './codec.ts'
import { ATTACH_TYPE, PROGRAM_TYPE } from './constants.ts'
import { createMap } from './create.ts'
import { FormatError, MapMismatchError, PermissionError, VerifierError } from './errors.ts'
import { KernelBtf } from './kernel-btf.ts'
import { KernelMap } from './kernel-map.ts'
import type { MapSpec } from './map-spec.ts'
import type { DataSection, ObjectSpec, ProgramSpec } from './object.ts'
import type { PinDirectory } from './pin.ts'
import { Program } from './program.ts'
import { mapFreeze, programLoad, succeed } from './syscalls.ts'

export type LoadOptions = {
  /** Values of `const volatile` globals, by name. */
  readonly rodata?: Readonly<Record<string, unknown>>
  /** max_entries of maps that differ from the declaration, by name. */
  readonly maxEntries?: Readonly<Record<string, number>>
  /** Maps to use instead of creating them. They stay the caller's, also to close. */
  readonly maps?: Readonly<Record<string, KernelMap>>
  /** Where maps are kept between loads: a map pinned there is used again, any other of `pinned` is created and pinned. */
  readonly pins?: PinDirectory
  /** Names of the maps kept in `pins`. Default: those declared with LIBBPF_PIN_BY_NAME. */
  readonly pinned?: readonly string[]
  /** Programs to load. Default: all. */
  readonly programs?: readonly string[]
}

const EPERM = 1
const ENOSPC = 28
const FIRST_LOG = 1 << 20
const LARGEST_LOG = 1 << 26

export class LoadedObject {
  readonly spec: ObjectSpec
  readonly btf: KernelBtf
  readonly maps: ReadonlyMap<string, KernelMap>
  readonly programs: ReadonlyMap<string, Program>
  readonly #owned: readonly Disposable[]

  constructor(
    spec: ObjectSpec,
    btf: KernelBtf,
    maps: ReadonlyMap<string, KernelMap>,
    programs: ReadonlyMap<string, Program>,
    owned: readonly Disposable[],
  ) {
    this.spec = spec
    this.btf = btf
    this.maps = maps
    this.programs = programs
    this.#owned = owned
  }

  /** A map by its name in C. The types are the caller's word: they are checked value by value, against BTF. */
  map<Key = unknown, Value = unknown, Input = Value>(name: string): KernelMap<Key, Value, Input> {
    const map = this.maps.get(name)
    if (!map) throw new FormatError(`the object has no map ${name}`)
    return map as unknown as KernelMap<Key, Value, Input>
  }

  program(name: string): Program {
    const program = this.programs.get(name)
    if (!program) throw new FormatError(`no program ${name} was loaded from the object`)
    return program
  }

  /** A new map that fits into a map of maps. The caller closes it; the outer map holds it once it is in there. */
  createInnerMap<Key = unknown, Value = unknown>(
    outer: string,
    options: { readonly maxEntries?: number; readonly name?: string } = {},
  ): KernelMap<Key, Value> {
    const inner = this.spec.maps.get(outer)?.inner
    if (!inner) throw new FormatError(`map ${outer} is not a map of maps`)
    return createMap(inner, { ...options, btf: this.btf })
  }

  close(): void {
    for (const resource of this.#owned) resource[Symbol.dispose]()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/**
 * Loads an object into this kernel.
 * @throws VerifierError with the verifier's log, MapMismatchError, CodecError (rodata), FormatError (a name the object
 *   does not have), PermissionError, BpfError
 */
export function loadObject(spec: ObjectSpec, options: LoadOptions = {}): LoadedObject {
  requireNames(spec, options)
  const owned: Disposable[] = []
  const own = <Resource extends Disposable>(resource: Resource): Resource => {
    owned.push(resource)
    return resource
  }
  const created: string[] = []
  const pinned = new Set(options.pinned ?? [...spec.maps.values()].filter(map => map.pinByName).map(map => map.name))

  try {
    const btf = own(KernelBtf.load(spec.btf))
    const maps = new Map<string, KernelMap>()
    for (const map of spec.maps.values()) {
      const wanted = { ...map, maxEntries: options.maxEntries?.[map.name] ?? map.maxEntries }
      const given = options.maps?.[map.name]
      if (given) {
        requireSameShape(wanted, given)
        maps.set(map.name, given)
        continue
      }
      const kept = pinned.has(map.name) ? options.pins?.openMap(map.name, map) : undefined
      if (kept) requireSameShape(wanted, own(kept))
      else if (pinned.has(map.name)) created.push(map.name)
      maps.set(map.name, kept ?? own(createMap(wanted, { btf })))
    }
    const dataMaps = new Map<string, KernelMap>()
    for (const section of spec.dataSections.values())
      dataMaps.set(section.map.name, own(createDataMap(spec, section, btf, options.rodata ?? {})))

    const programs = new Map<string, Program>()
    for (const program of spec.programs.values())
      if (options.programs === undefined || options.programs.includes(program.name))
        programs.set(program.name, own(loadProgram(spec, program, btf, name => maps.get(name) ?? dataMaps.get(name))))

    pinAll(options.pins, created, maps)
    return new LoadedObject(spec, btf, maps, programs, owned)
  } catch (error) {
    for (const resource of owned) resource[Symbol.dispose]()
    throw error
  }
}

function requireNames(spec: ObjectSpec, options: LoadOptions): void {
  const require = (what: string, names: Iterable<string>, known: ReadonlyMap<string, unknown>): void => {
    for (const name of names)
      if (!known.has(name))
        throw new FormatError(`the object has no ${what} ${name}; it has ${[...known.keys()].join(', ') || 'none'}`)
  }
  require('map', Object.keys(options.maxEntries ?? {}), spec.maps)
  require('map', Object.keys(options.maps ?? {}), spec.maps)
  require('map', options.pinned ?? [], spec.maps)
  require('program', options.programs ?? [], spec.programs)
  const constants = new Map([...spec.variables].filter(([, { section }]) => section.startsWith('.rodata')))
  require('const volatile global', Object.keys(options.rodata ?? {}), constants)
}

/** @throws MapMismatchError naming the first field that differs */
export function requireSameShape(wanted: MapSpec, found: KernelMap): void {
  for (const field of ['type', 'keySize', 'valueSize', 'maxEntries', 'flags'] as const)
    if (wanted[field] !== found[field]) throw new MapMismatchError(wanted.name, field, wanted[field], found[field])
}

function createDataMap(
  spec: ObjectSpec,
  { map, content, readOnly }: DataSection,
  btf: KernelBtf,
  rodata: Readonly<Record<string, unknown>>,
): KernelMap {
  const bytes = content.slice()
  const view = new DataView(bytes.buffer)
  for (const [name, value] of Object.entries(rodata)) {
    const variable = spec.variables.get(name)
    if (variable?.section === map.name)
      compileCodec(spec.btf, variable.typeId, `global ${name}`).encode(value, view, variable.offset)
  }
  const created = createMap(map, { btf })
  try {
    created.setRaw(new Uint8Array(4), bytes)
    // Frozen, the values are constants to the verifier: it drops the branches they rule out.
    if (readOnly) succeed(`freeze map ${map.name}`, mapFreeze(created.fd))
    return created
  } catch (error) {
    created.close()
    throw error
  }
}

function loadProgram(
  spec: ObjectSpec,
  program: ProgramSpec,
  btf: KernelBtf,
  mapNamed: (name: string) => KernelMap | undefined,
): Program {
  const { image } = program
  const instructions = image.instructions.slice()
  const view = new DataView(instructions.buffer)
  for (const { offset, map } of image.mapReferences) {
    const target = mapNamed(map)
    if (!target) throw new FormatError(`program ${program.name} refers to map ${map}, which the object does not have`)
    view.setInt32(offset + 4, target.fd, true)
  }
  const load = (log?: { level: number; buffer: Buffer }): number =>
    programLoad({
      type: PROGRAM_TYPE[program.type],
      attachType: program.expectsAttachType && program.attachType ? ATTACH_TYPE[program.attachType] : 0,
      flags: program.flags,
      name: program.name,
      license: spec.license,
      instructions,
      btfFd: btf.fd,
      functionInfo: { records: image.functionInfo, recordSize: FUNCTION_INFO_RECORD },
      lineInfo: { records: image.lineInfo, recordSize: LINE_INFO_RECORD },
      ...(log ? { log } : {}),
    })
  const fd = load()
  if (fd >= 0) return Program.adopt(fd, program.name)
  if (fd === -EPERM) throw new PermissionError(`load program ${program.name}`, EPERM)
  return Program.adopt(loadForLog(program.name, load), program.name)
}

/** Loads once more to learn why it failed: the log costs too much to ask for it every time. */
function loadForLog(name: string, load: (log: { level: number; buffer: Buffer }) => number): number {
  for (let size = FIRST_LOG; ; size *= 4) {
    const buffer = stableBuffer(size)
    const fd = load({ level: 1, buffer })
    if (fd >= 0) return fd
    if (fd === -ENOSPC && size < LARGEST_LOG) continue
    throw new VerifierError(name, -fd, buffer.toString('utf8', 0, Math.max(0, buffer.indexOf(0))))
  }
}

/** Pins the new maps last, so that a load that fails leaves no trace. */
function pinAll(pins: PinDirectory | undefined, names: readonly string[], maps: ReadonlyMap<string, KernelMap>): void {
  if (!pins) return
  const done: string[] = []
  try {
    for (const name of names) {
      const map = maps.get(name)
      if (!map) continue
      pins.pin(name, map)
      done.push(name)
    }
  } catch (error) {
    for (const name of done) pins.remove(name)
    throw error
  }
}
