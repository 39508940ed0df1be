// What the agent must remember over a restart, and the kernel cannot tell: which
// labels an identity number stands for, which rule a rule number, which pod an
// endpoint. An append-only file of JSON lines, written before what it speaks of is
// programmed. It survives the end of the process, not of the machine: maps and
// devices do not either.

import fs from 'node:fs'
import path from 'node:path'

/** One fact: the newest record with its kind and key holds; a null value takes it back. */
export type JournalRecord = { readonly kind: string; readonly key: string; readonly value: unknown }

const COMPACT_AFTER_LINES = 20_000

export class Journal {
  readonly #path: string
  readonly #facts = new Map<string, Map<string, unknown>>()
  #fd: number
  #lines = 0
  #isCutShort = false

  /** Reads what an earlier run wrote. A last line that was cut short is ignored. @throws JournalUnreadableError */
  constructor(file: string) {
    this.#path = file
    fs.mkdirSync(path.dirname(file), { recursive: true })
    for (const line of readLines(file)) this.#apply(line)
    this.#fd = this.#compact()
  }

  /** Facts of one kind, by key, in the order in which the keys first came. */
  entries(kind: string): ReadonlyMap<string, unknown> {
    return this.#facts.get(kind) ?? new Map()
  }

  set(kind: string, key: string, value: unknown): void {
    this.#append({ kind, key, value })
  }

  delete(kind: string, key: string): void {
    if (this.#facts.get(kind)?.has(key)) this.#append({ kind, key, value: null })
  }

  close(): void {
    fs.closeSync(this.#fd)
  }

  #append(record: JournalRecord): void {
    // A record that a full disk cut short must not take the next one with it.
    const separator = this.#isCutShort ? '\n' : ''
    this.#isCutShort = true
    fs.writeFileSync(this.#fd, `${separator}${JSON.stringify(record)}\n`)
    this.#isCutShort = false
    this.#apply(record)
    if (++this.#lines > COMPACT_AFTER_LINES + 2 * this.#size()) {
      const old = this.#fd
      this.#fd = this.#compact()
      fs.closeSync(old)
    }
  }

  #apply({ kind, key, value }: JournalRecord): void {
    const facts = this.#facts.get(kind) ?? new Map<string, unknown>()
    this.#facts.set(kind, facts)
    if (value === null) facts.delete(key)
    else facts.set(key, value)
  }

  #size(): number {
    return this.#facts.values().reduce((sum, facts) => sum + facts.size, 0)
  }

  /** Writes a file with today's facts alone and opens it for more. */
  #compact(): number {
    const fresh = `${this.#path}.new`
    const lines = [...this.#facts].flatMap(([kind, facts]) =>
      [...facts].map(([key, value]) => `${JSON.stringify({ kind, key, value } satisfies JournalRecord)}\n`),
    )
    fs.writeFileSync(fresh, lines.join(''), { mode: 0o600 })
    fs.renameSync(fresh, this.#path)
    this.#lines = lines.length
    return fs.openSync(this.#path, 'a')
  }
}

/** What was remembered cannot be known. To go on without it would give numbers again that the kernel's maps hold. */
export class JournalUnreadableError extends Error {
  override readonly name = 'JournalUnreadableError'
  readonly code = 'JOURNAL_UNREADABLE'

  constructor(file: string, cause: Error) {
    super(
      `the journal ${file} cannot be read (${cause.message}): mend that, or remove it together with the pinned maps`,
      {
        cause,
      },
    )
  }
}

function readLines(file: string): JournalRecord[] {
  let text: string
  try {
    text = fs.readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new JournalUnreadableError(file, error as Error)
  }
  const lines = text.split('\n')
  lines.pop() // empty, or cut short
  return lines.flatMap(line => {
    try {
      const record: unknown = JSON.parse(line)
      return isRecord(record) ? [record] : []
    } catch {
      return [] // cut short; the next record is on a line of its own
    }
  })
}

function isRecord(value: unknown): value is JournalRecord {
  if (typeof value !== 'object' || value === null) return false
  const { kind, key } = value as Partial<JournalRecord>
  return typeof kind === 'string' && typeof key === 'string' && 'value' in value
}
