// Manifest folders and files as a source. Promises: a change is delivered a few
// milliseconds after it is written; whatever there is to read, others get their turn
// every few milliseconds; a file that an editor is in the middle of writing
// is not acted on; what cannot be read or understood leaves the objects of before in
// force. Which object wins among files is for catalogue.ts, where to look for
// folders.ts.

import path from 'node:path'
import type { DocumentCache, ParsedManifests, Problem } from '../manifests/index.ts'
import { type Clock, rowsEqual, systemClock } from '../state/index.ts'
import { Catalogue } from './catalogue.ts'
import { FolderWatch, isManifestName, isWithin } from './folders.ts'
import { type Look, lookAt, parsedOf, signatureOf } from './look.ts'
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
/** Longest work without a turn for others; one document is read at a time, however long that takes. */
const SLICE_MS = 10
/** Most objects of the start that are delivered in one call. */
const MAX_PART = 100

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
  /** What is left of a look at everything that is due, while there is one. */
  #pass: Generator<undefined, void> | undefined

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
    this.#work()
  }

  [Symbol.dispose](): void {
    this.#pass = undefined
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

  #work(): void {
    this.#pass ??= this.#steps()
    const endMs = this.#clock.nowMs() + SLICE_MS
    do {
      if (this.#pass.next().done) {
        this.#pass = undefined
        this.#schedule()
        return
      }
    } while (this.#clock.nowMs() < endMs)
    this.#setTimer(0)
  }

  /** One pass; what changes meanwhile is for the next one. */
  *#steps(): Generator<undefined, void> {
    if (this.#clock.nowMs() >= this.#nextRescanMs) yield* this.#rescan()
    const nowMs = this.#clock.nowMs()
    for (const [file, pending] of this.#pending) if (pending.dueMs <= nowMs) yield* this.#look(file, pending)
    yield* this.#deliver()
  }

  /** Walks through everything and marks what differs from the last look. */
  *#rescan(): Generator<undefined, void> {
    const { files, problems, missing } = this.#folders.walk()
    this.#folderProblems = problems
    this.#rootsPresent = missing.length === 0
    const nowMs = this.#clock.nowMs()
    this.#nextRescanMs = nowMs + this.#rescanMs
    for (const file of new Set([...files, ...this.#signatures.keys()])) {
      yield
      if (this.#pending.has(file) || this.#signatures.get(file) === signatureOf(file)) continue
      this.#pending.set(file, { dueMs: nowMs, sinceMs: nowMs, looks: 0 })
    }
  }

  *#look(file: string, pending: Pending): Generator<undefined, void> {
    const signature = signatureOf(file)
    const look = lookAt(file)
    const before = this.#signatures.get(file)
    if (look.kind === 'missing' && (before === undefined || this.#folders.isCutOff(file))) {
      this.#pending.delete(file)
      return
    }
    const parsed = yield* parsedOf(file, look, this.#cacheOf(file))
    // It changed while it was read: it is looked at again anyhow, and until then this is the newest that is known.
    const isOutdated = this.#pending.get(file) !== pending
    if (this.#isDoubtful(file, parsed) && (isOutdated || this.#mustLookAgain(file, look, pending))) return
    if (!isOutdated) this.#pending.delete(file)
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

  *#deliver(): Generator<undefined, void> {
    const { put, deleted, problems } = this.#catalogue.take()
    if (this.#initialized) {
      if (put.length > 0 || deleted.length > 0) this.#sink.apply({ put, deleted })
    } else {
      // Nobody acts on what is not all there yet, so the start need not come at once.
      if (deleted.length > 0) this.#sink.apply({ put: [], deleted })
      for (let i = 0; i < put.length; i += MAX_PART) {
        this.#sink.apply({ put: put.slice(i, i + MAX_PART), deleted: [] })
        yield
      }
    }
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
    if (this.#pass) return
    let nextMs = this.#nextRescanMs
    for (const { dueMs } of this.#pending.values()) nextMs = Math.min(nextMs, dueMs)
    this.#setTimer(nextMs - this.#clock.nowMs())
  }

  #setTimer(delayMs: number): void {
    this.#cancelTimer?.()
    this.#cancelTimer = this.#clock.setTimer(delayMs, () => this.#guard(() => this.#work()))
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
