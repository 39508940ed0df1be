// Manifest folders and files as a source. Promises: a change is delivered a few
// milliseconds after it is written; a file that an editor is in the middle of writing
// is not acted on; what cannot be read or understood leaves the objects of before in
// force. Which object wins among files is for catalogue.ts, where to look for
// folders.ts.

import fs from 'node:fs'
import path from 'node:path'
import { type DocumentCache, type ParsedManifests, type Problem, parseManifests } from '../manifests/index.ts'
import { type Clock, rowsEqual, systemClock } from '../state/index.ts'
import { Catalogue } from './catalogue.ts'
import { FolderWatch, isManifestName, isWithin } from './folders.ts'
import type { ManifestSource, ObjectSink } from './source.ts'

export type FileSourceOptions = {
  readonly clock?: Clock
  /** A file is read when it has been quiet for so long. Default 1. */
  readonly quietMs?: number
  /** A file that looks half written, or is gone, is looked at again after so long. Default 10. */
  readonly settleMs?: number
  /** Time between two walks through everything, in case a notification was lost. Default 30,000. */
  readonly rescanMs?: number
}

/** Longest wait for a file that keeps changing, and most looks at one that looks half written. */
const MAX_QUIET_MS = 50
const MAX_LOOKS = 10
/** An emptied file is waited for so many times longer than one that looks half written. */
const BLANK_FACTOR = 10
/** A character takes at most four bytes of UTF-8, so that parseManifests has the say on the size of texts. */
const MAX_FILE_BYTES = 16 * 1024 * 1024

export class FileSource implements ManifestSource {
  readonly #roots: readonly string[]
  readonly #options: FileSourceOptions

  /** @param paths folders, taken with their sub-folders, and files. In folders, `*.yaml`, `*.yml` and `*.json` count. */
  constructor(paths: readonly string[], options: FileSourceOptions = {}) {
    this.#roots = paths.map(root => path.normalize(root).replace(/(?<=.)\/$/, ''))
    this.#options = options
  }

  async run(sink: ObjectSink, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    using run = new Run(this.#roots, this.#options, sink)
    const aborted = () => run.end()
    signal.addEventListener('abort', aborted, { once: true })
    try {
      run.start()
      await run.ended
    } finally {
      signal.removeEventListener('abort', aborted)
    }
  }
}

/** A file that has to be looked at. */
type Pending = {
  dueMs: number
  readonly sinceMs: number
  /** What it looked like at the last look, if that was not trusted. */
  readonly doubt?: Doubt
  readonly looks: number
}

type Doubt = { readonly look: Look; readonly untilMs: number }

type Look =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly reason: string }

class Run implements Disposable {
  readonly ended: Promise<void>
  readonly end: () => void
  readonly #fail: (error: unknown) => void
  readonly #clock: Clock
  readonly #quietMs: number
  readonly #settleMs: number
  readonly #rescanMs: number
  readonly #sink: ObjectSink
  readonly #folders: FolderWatch
  readonly #catalogue = new Catalogue()
  readonly #pending = new Map<string, Pending>()
  readonly #caches = new Map<string, DocumentCache>()
  /** What told one version of a file from another, at its last look. */
  readonly #signatures = new Map<string, string>()
  #folderProblems: readonly Problem[] = []
  #fileProblems: readonly Problem[] = []
  #reported: readonly Problem[] = []
  #initialized = false
  #rootsPresent = false
  #nextRescanMs = 0
  #cancelTimer: (() => void) | undefined

  constructor(roots: readonly string[], options: FileSourceOptions, sink: ObjectSink) {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.ended = promise
    this.end = resolve
    this.#fail = reject
    this.#clock = options.clock ?? systemClock
    this.#quietMs = options.quietMs ?? 1
    this.#settleMs = options.settleMs ?? 10
    this.#rescanMs = options.rescanMs ?? 30_000
    this.#sink = sink
    this.#folders = new FolderWatch(roots, changed => this.#guard(() => this.#onChange(changed)))
  }

  start(): void {
    this.#rescan()
    this.#work()
  }

  [Symbol.dispose](): void {
    this.#cancelTimer?.()
    this.#folders[Symbol.dispose]()
    this.#pending.clear()
  }

  /** Something may be different at a path or, where that was a folder, below it. */
  #onChange(changed: string): void {
    if (isManifestName(path.basename(changed)) || this.#signatures.has(changed)) this.#touch(changed)
    for (const file of this.#signatures.keys()) if (file !== changed && isWithin(file, changed)) this.#touch(file)
    if (!this.#rootsPresent) this.#nextRescanMs = this.#clock.nowMs()
    this.#schedule()
  }

  /** Puts a file off until it is quiet, but not for ever. */
  #touch(file: string): void {
    const nowMs = this.#clock.nowMs()
    const { sinceMs, ...rest } = this.#pending.get(file) ?? { sinceMs: nowMs, looks: 0 }
    const dueMs = Math.min(nowMs + this.#quietMs, Math.max(nowMs, sinceMs + MAX_QUIET_MS))
    this.#pending.set(file, { ...rest, dueMs, sinceMs })
  }

  /** Walks through everything and marks what differs from the last look. */
  #rescan(): void {
    const { files, problems, missing } = this.#folders.walk()
    this.#folderProblems = problems
    this.#rootsPresent = missing.length === 0
    this.#nextRescanMs = this.#clock.nowMs() + this.#rescanMs
    const nowMs = this.#clock.nowMs()
    for (const file of new Set([...files, ...this.#signatures.keys()])) {
      if (this.#pending.has(file) || this.#signatures.get(file) === signatureOf(file)) continue
      this.#pending.set(file, { dueMs: nowMs, sinceMs: nowMs, looks: 0 })
    }
  }

  #work(): void {
    if (this.#clock.nowMs() >= this.#nextRescanMs) this.#rescan()
    const nowMs = this.#clock.nowMs()
    for (const [file, pending] of this.#pending) if (pending.dueMs <= nowMs) this.#look(file, pending)
    this.#deliver()
    this.#schedule()
  }

  #look(file: string, pending: Pending): void {
    const signature = signatureOf(file)
    const look = lookAt(file)
    const before = this.#signatures.get(file)
    if (look.kind === 'missing' && (before === undefined || this.#folders.isCutOff(file))) {
      this.#pending.delete(file)
      return
    }
    const parsed = parsedOf(file, look, this.#cacheOf(file))
    if (this.#isDoubtful(file, parsed) && this.#mustLookAgain(file, look, pending)) return
    this.#pending.delete(file)
    if (parsed) {
      this.#signatures.set(file, signature)
      this.#catalogue.update(file, parsed)
    } else {
      this.#caches.delete(file)
      this.#signatures.delete(file)
      this.#catalogue.remove(file)
    }
  }

  #cacheOf(file: string): DocumentCache {
    const cache = this.#caches.get(file) ?? new Map()
    this.#caches.set(file, cache)
    return cache
  }

  /** Broken, emptied and missing files are what a file in the middle of being saved looks like. */
  #isDoubtful(file: string, parsed: ParsedManifests | undefined): boolean {
    if (!parsed) return true
    return parsed.problems.some(problem => problem.severity === 'error') || this.#catalogue.wouldLose(file, parsed)
  }

  /** Whether to wait: until the file has looked the same for a while. */
  #mustLookAgain(file: string, look: Look, { doubt, looks }: Pending): boolean {
    if (looks >= MAX_LOOKS) return false
    const nowMs = this.#clock.nowMs()
    if (doubt && rowsEqual(look, doubt.look)) {
      if (nowMs >= doubt.untilMs) return false
      this.#pending.set(file, { dueMs: doubt.untilMs, sinceMs: nowMs, doubt, looks })
      return true
    }
    // Nobody needs an emptied file fast; a busy writer may need long from truncating it to writing it.
    const isBlank = look.kind === 'text' && look.text.trim() === ''
    const untilMs = nowMs + this.#settleMs * (isBlank ? BLANK_FACTOR : 1)
    this.#pending.set(file, { dueMs: untilMs, sinceMs: untilMs, doubt: { look, untilMs }, looks: looks + 1 })
    return true
  }

  #deliver(): void {
    const { put, deleted, problems } = this.#catalogue.take()
    if (put.length > 0 || deleted.length > 0) this.#sink.apply({ put, deleted })
    this.#fileProblems = problems ?? this.#fileProblems
    const all = [...this.#folderProblems, ...this.#fileProblems]
    if (!rowsEqual(all, this.#reported)) {
      this.#reported = all
      this.#sink.report(all)
    }
    // A root that is not there yet may hold anything: then it is not known what is declared.
    if (!this.#initialized && this.#pending.size === 0 && this.#rootsPresent) {
      this.#initialized = true
      this.#sink.initialized()
    }
  }

  #schedule(): void {
    this.#cancelTimer?.()
    let nextMs = this.#nextRescanMs
    for (const { dueMs } of this.#pending.values()) nextMs = Math.min(nextMs, dueMs)
    this.#cancelTimer = this.#clock.setTimer(nextMs - this.#clock.nowMs(), () => this.#guard(() => this.#work()))
  }

  /** What throws in a callback ends the run, with the error. */
  #guard(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#fail(error)
    }
  }
}

function lookAt(file: string): Look {
  try {
    const stat = fs.statSync(file, { throwIfNoEntry: false })
    if (!stat) return { kind: 'missing' }
    if (!stat.isFile()) return { kind: 'unreadable', reason: 'is not a regular file' }
    if (stat.size > MAX_FILE_BYTES) return { kind: 'unreadable', reason: `is larger than ${MAX_FILE_BYTES} bytes` }
    const bytes = fs.readFileSync(file)
    const text = decodeUtf8(bytes)
    return text === undefined ? { kind: 'unreadable', reason: 'is not UTF-8 text' } : { kind: 'text', text }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    return code === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', reason: `cannot be read: ${code}` }
  }
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    // The only error that it knows: a byte sequence that is not UTF-8.
    return undefined
  }
}

function parsedOf(file: string, look: Look, cache: DocumentCache): ParsedManifests | undefined {
  switch (look.kind) {
    case 'missing':
      return undefined
    case 'text':
      return parseManifests(look.text, file, cache)
    case 'unreadable': {
      const problem: Problem = { severity: 'error', message: look.reason, file, line: 1, column: 1 }
      return { objects: [], problems: [problem], refused: [], complete: false }
    }
  }
}

/** Differs when the file does. */
function signatureOf(file: string): string {
  try {
    const stat = fs.statSync(file, { throwIfNoEntry: false })
    return stat ? [stat.dev, stat.ino, stat.size, stat.mtimeMs, stat.ctimeMs].join(':') : 'missing'
  } catch (error) {
    return String(error)
  }
}
