// Pins: names in a bpffs that keep maps, links and programs alive without a
// process. A `PinDirectory` keeps those of one schema version together, so that
// a program never takes over state whose layout it does not know.

import { existsSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, statfsSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { close } from '../sys/native.ts'
import { BpfError, SchemaVersionError } from './errors.ts'
import { KernelMap } from './kernel-map.ts'
import { Link } from './link.ts'
import type { MapSpec } from './map-spec.ts'
import { Program } from './program.ts'
import { objectGet, objectPin, succeed } from './syscalls.ts'

const ENOENT = 2
const EINVAL = 22
const BPF_FS_MAGIC = 0xcafe4a11

/** A map, link or program. */
export type Pinnable = { readonly fd: number }

/** @throws BpfError EEXIST where the name is taken; the message says so when the folder is not in a bpffs */
export function pinObject(object: Pinnable, path: string): void {
  const result = objectPin(object.fd, path)
  if (result < 0 && !isBpffs(dirname(path))) throw new BpfError(`pin ${path}`, -result, 'the folder is not in a bpffs')
  succeed(`pin ${path}`, result)
}

/** Puts an object in the place of whatever is pinned there, in one step: a reader sees the old one or the new one. */
export function replacePin(object: Pinnable, path: string): void {
  // bpffs takes no dot in a name.
  const temporary = `${path}_new_${process.pid}`
  rmSync(temporary, { force: true })
  pinObject(object, temporary)
  renameSync(temporary, path)
}

/** @throws BpfError ENOENT where nothing is pinned */
export function openPinnedMap<Key = unknown, Value = unknown, Input = Value>(
  path: string,
  spec?: MapSpec,
): KernelMap<Key, Value, Input> {
  return KernelMap.adopt(openPin(path, 'map'), spec)
}

export function openPinnedLink(path: string): Link {
  return Link.adopt(openPin(path, 'link'))
}

export function openPinnedProgram(path: string): Program {
  return Program.adopt(openPin(path, 'prog'))
}

type PinnedKind = 'map' | 'prog' | 'link'

/** Opens a pin of one kind: the kernel would open any, and describe it wrongly. */
function openPin(path: string, kind: PinnedKind): number {
  const fd = succeed(`open pin ${path}`, objectGet(path))
  const actual = readlinkSync(`/proc/self/fd/${fd}`)
  if (actual.includes(`bpf-${kind}`) || actual.includes(`bpf_${kind}`)) return fd
  close(fd)
  throw new BpfError(`open pin ${path}`, EINVAL, `it is ${actual}, not a ${kind}`)
}

export function isBpffs(path: string): boolean {
  try {
    return statfsSync(path).type === BPF_FS_MAGIC
  } catch {
    return false
  }
}

export type PinDirectoryOptions = {
  /** What to do when the folder holds another version's pins: refuse to open it (the default), or leave them alone. */
  readonly otherVersions?: 'refuse' | 'keep'
}

export class PinDirectory {
  /** The folder of this version's pins. */
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /**
   * Opens `PATH/v<schemaVersion>`, making it where needed.
   * @param path a folder in a bpffs
   * @throws SchemaVersionError naming the other versions found, BpfError EINVAL when this is no bpffs
   */
  static open(path: string, schemaVersion: number, options: PinDirectoryOptions = {}): PinDirectory {
    mkdirSync(path, { recursive: true })
    if (!isBpffs(path)) throw new BpfError(`open pin directory ${path}`, EINVAL, 'the folder is not in a bpffs')
    const others = PinDirectory.versions(path).filter(version => version !== schemaVersion)
    if (others.length > 0 && options.otherVersions !== 'keep') throw new SchemaVersionError(path, schemaVersion, others)
    const own = join(path, `v${schemaVersion}`)
    mkdirSync(own, { recursive: true })
    return new PinDirectory(own)
  }

  /** Schema versions that have a folder with pins in it, ascending. */
  static versions(path: string): number[] {
    if (!existsSync(path)) return []
    return readdirSync(path)
      .filter(name => /^v\d+$/.test(name) && readdirSync(join(path, name)).length > 0)
      .map(name => Number(name.slice(1)))
      .sort((a, b) => a - b)
  }

  /** Drops all pins of a version. What no program or link holds any more is gone then. */
  static removeVersion(path: string, schemaVersion: number): void {
    rmSync(join(path, `v${schemaVersion}`), { recursive: true, force: true })
  }

  /** A folder below, for a kind of pins of its own such as links. */
  folder(name: string): PinDirectory {
    const path = this.#pathOf(name)
    mkdirSync(path, { recursive: true })
    return new PinDirectory(path)
  }

  pin(name: string, object: Pinnable): void {
    pinObject(object, this.#pathOf(name))
  }

  replace(name: string, object: Pinnable): void {
    replacePin(object, this.#pathOf(name))
  }

  /** @returns undefined where nothing of that name is pinned */
  openMap<Key = unknown, Value = unknown, Input = Value>(
    name: string,
    spec?: MapSpec,
  ): KernelMap<Key, Value, Input> | undefined {
    const fd = this.#open(name, 'map')
    return fd === undefined ? undefined : KernelMap.adopt(fd, spec)
  }

  openLink(name: string): Link | undefined {
    const fd = this.#open(name, 'link')
    return fd === undefined ? undefined : Link.adopt(fd)
  }

  openProgram(name: string): Program | undefined {
    const fd = this.#open(name, 'prog')
    return fd === undefined ? undefined : Program.adopt(fd)
  }

  /** Names pinned directly here, without folders, sorted. */
  list(): string[] {
    return readdirSync(this.path, { withFileTypes: true })
      .filter(entry => !entry.isDirectory())
      .map(entry => entry.name)
      .sort()
  }

  /** @returns whether there was such a pin */
  remove(name: string): boolean {
    try {
      unlinkSync(this.#pathOf(name))
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
  }

  /** Removes all pins of this folder and the folder itself. */
  removeAll(): void {
    rmSync(this.path, { recursive: true, force: true })
  }

  #open(name: string, kind: PinnedKind): number | undefined {
    try {
      return openPin(this.#pathOf(name), kind)
    } catch (error) {
      if (error instanceof BpfError && error.errno === ENOENT) return undefined
      throw error
    }
  }

  #pathOf(name: string): string {
    if (!/^[A-Za-z0-9_-]+$/.test(name))
      throw new BpfError(`pin ${name}`, EINVAL, 'a pin name has letters, digits, _ and - only')
    return join(this.path, name)
  }
}
