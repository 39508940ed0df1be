// Watches folders and files for changes of manifests. Promises to tell of every path
// that may have changed, through new sub-folders, renames and replaced folders, and
// tells too often rather than not at all; what is in the files is for files.ts. The
// kernel's notifications (inotify) can be lost when its queue is full, so a full walk
// from time to time is part of the plan.

import fs from 'node:fs'
import path from 'node:path'
import type { Problem } from '../manifests/index.ts'

/** Most folders, and most files, under all roots together. */
export const MAX_FOLDERS = 1000
export const MAX_FILES = 10_000

export type Walk = {
  /** Every manifest file. */
  readonly files: readonly string[]
  readonly problems: readonly Problem[]
  /** Roots that are not there. */
  readonly missing: readonly string[]
}

type WatchedFolder = {
  readonly watcher: fs.FSWatcher
  /** Device and inode: a folder of the same name may be another one. */
  readonly identity: string
  /** Names that matter in it; all of them when undefined. */
  readonly only: Set<string> | undefined
}

export class FolderWatch implements Disposable {
  readonly #roots: readonly string[]
  readonly #onChange: (changed: string) => void
  readonly #watched = new Map<string, WatchedFolder>()
  readonly #problems = new Map<string, Problem>()

  /** @param onChange gets a path at which, or below which, something may have changed */
  constructor(roots: readonly string[], onChange: (changed: string) => void) {
    this.#roots = roots
    this.#onChange = onChange
  }

  /** Lists everything, and watches what is not watched yet. */
  walk(): Walk {
    this.#problems.clear()
    const files = new Set<string>()
    const missing: string[] = []
    for (const root of this.#roots) {
      this.#watchParent(root)
      const stat = statOf(root)
      if (stat?.isDirectory()) this.#walkFolder(root, stat, files)
      else if (stat?.isFile()) files.add(root)
      else {
        missing.push(root)
        this.#report(
          root,
          'error',
          stat ? 'is no file and no folder' : 'no such file or folder; what it held stays in force',
        )
      }
    }
    for (const folder of this.#watched.keys()) if (!statOf(folder)?.isDirectory()) this.#unwatch(folder)
    return { files: [...files], problems: [...this.#problems.values()], missing }
  }

  /** The root that a path lies under, if that root is not there. What it held is then unknown, not gone. */
  isCutOff(file: string): boolean {
    const root = this.#roots.find(candidate => isWithin(file, candidate))
    return root !== undefined && statOf(root) === undefined
  }

  [Symbol.dispose](): void {
    for (const folder of this.#watched.keys()) this.#unwatch(folder)
  }

  #walkFolder(folder: string, stat: fs.Stats, files: Set<string>): void {
    // Watch first: what is created between watching and listing is told twice rather than not at all.
    if (!this.#watch(folder, stat)) return
    for (const entry of this.#list(folder)) {
      const full = path.join(folder, entry.name)
      if (entry.isDirectory()) {
        const inner = isHidden(entry.name) ? undefined : statOf(full)
        if (inner) this.#walkFolder(full, inner, files)
      } else if (isManifestName(entry.name) && statOf(full)?.isFile()) {
        if (files.size >= MAX_FILES) {
          this.#report(folder, 'error', `more than ${MAX_FILES} files; the others are not read`)
          return
        }
        files.add(full)
      }
    }
  }

  #list(folder: string): fs.Dirent[] {
    try {
      return fs.readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') this.#report(folder, 'error', `cannot be listed: ${codeOf(error)}`)
      return []
    }
  }

  /** Watches a whole folder. Returns whether it may be listed. */
  #watch(folder: string, stat: fs.Stats): boolean {
    const identity = identityOf(stat)
    const watched = this.#watched.get(folder)
    if (watched?.identity === identity && watched.only === undefined) return true
    if (!watched && this.#watched.size >= MAX_FOLDERS) {
      this.#report(folder, 'error', `more than ${MAX_FOLDERS} folders; this one is not read`)
      return false
    }
    this.#unwatch(folder)
    this.#open(folder, identity, undefined)
    return true
  }

  /** Watches the folder of a root for the root alone: it may be replaced, or come later. */
  #watchParent(root: string): void {
    const folder = path.dirname(root)
    const stat = statOf(folder)
    const watched = this.#watched.get(folder)
    if (!stat?.isDirectory() || (watched?.identity === identityOf(stat) && watched.only === undefined)) return
    const only = new Set(watched?.only).add(path.basename(root))
    if (watched?.identity === identityOf(stat) && watched.only?.has(path.basename(root))) return
    this.#unwatch(folder)
    this.#open(folder, identityOf(stat), only)
  }

  #open(folder: string, identity: string, only: Set<string> | undefined): void {
    try {
      const watcher = fs.watch(folder, (_event, name) => this.#onEvent(folder, name))
      watcher.on('error', error => this.#onWatchError(folder, error))
      this.#watched.set(folder, { watcher, identity, only })
    } catch (error) {
      this.#onWatchError(folder, error)
    }
  }

  #onWatchError(folder: string, error: unknown): void {
    this.#unwatch(folder)
    if (codeOf(error) === 'ENOENT') return
    this.#report(folder, 'warning', `cannot be watched (${codeOf(error)}): changes are seen only every half minute`)
  }

  #unwatch(folder: string): void {
    this.#watched.get(folder)?.watcher.close()
    this.#watched.delete(folder)
  }

  #onEvent(folder: string, name: string | null): void {
    const watched = this.#watched.get(folder)
    if (!watched || (name !== null && watched.only && !watched.only.has(name))) return
    // Mounted ConfigMaps change through one hidden link, `..data`.
    if (name === null || name.startsWith('..')) {
      this.#tellFolder(folder)
      return
    }
    const full = path.join(folder, name)
    if (isHidden(name) && !this.#roots.includes(full)) return
    const stat = fs.lstatSync(full, { throwIfNoEntry: false })
    const isRoot = this.#roots.includes(full)
    if (stat?.isDirectory() || (isRoot && stat?.isSymbolicLink())) this.#tellFolder(full)
    else this.#unwatchWithin(full)
    this.#onChange(full)
  }

  /** Watches a folder that is new or was replaced, and tells of every file in it. */
  #tellFolder(folder: string): void {
    const stat = statOf(folder)
    const files = new Set<string>()
    if (stat?.isDirectory()) this.#walkFolder(folder, stat, files)
    for (const file of files) this.#onChange(file)
    this.#onChange(folder)
  }

  #unwatchWithin(gone: string): void {
    for (const folder of this.#watched.keys()) if (isWithin(folder, gone)) this.#unwatch(folder)
  }

  #report(file: string, severity: Problem['severity'], message: string): void {
    this.#problems.set(`${file}: ${message}`, { severity, message, file, line: 1, column: 1 })
  }
}

/** Whether a file's name says that it holds manifests. Hidden files are editors' own. */
export function isManifestName(name: string): boolean {
  return !isHidden(name) && /\.(?:ya?ml|json)$/.test(name)
}

/** Whether a path is another one or lies below it. */
export function isWithin(file: string, folder: string): boolean {
  return file === folder || file.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
}

function isHidden(name: string): boolean {
  return name.startsWith('.')
}

function identityOf(stat: fs.Stats): string {
  return `${stat.dev}:${stat.ino}`
}

/** Follows links. Undefined when there is nothing, or nothing that can be looked at. */
function statOf(file: string): fs.Stats | undefined {
  try {
    return fs.statSync(file, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
