// The rule sets of this proxy: in memory, and in a folder, a file each, so that the next
// process has them without asking anybody. A change is on disk before anybody judges by
// it. Who judges, and from when, is left to others.

import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { L7RuleSet } from '../policy/index.ts'
import type { RuleSetChange } from './child.ts'

const FILE = /^(\d+)\.json$/

export class RuleSetStore {
  /** Another one for each process. */
  readonly generation: string = randomUUID()
  readonly #folder: string
  readonly #sets = new Map<number, L7RuleSet>()
  /** Raised with each change. */
  #revision = 0

  /** Reads what is there. Files that are broken are removed: what is to be judged by them is denied until they come again. */
  constructor(folder: string, onBroken: (file: string, error: unknown) => void) {
    this.#folder = folder
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
    for (const name of fs.readdirSync(folder)) {
      const file = path.join(folder, name)
      try {
        if (!FILE.test(name)) throw new Error('it is no rule set; perhaps a write broke off')
        const set = JSON.parse(fs.readFileSync(file, 'utf8')) as L7RuleSet
        if (`${set.number}.json` !== name) throw new Error(`it holds rule set ${set.number}`)
        if (!Array.isArray(set.rules?.rules)) throw new Error('it holds no rules')
        this.#sets.set(set.number, set)
      } catch (error) {
        onBroken(file, error)
        fs.rmSync(file, { force: true })
      }
    }
  }

  get revision(): number {
    return this.#revision
  }

  all(): L7RuleSet[] {
    return [...this.#sets.values()]
  }

  get counts() {
    return { sets: this.#sets.size, rules: this.all().reduce((total, { rules }) => total + rules.rules.length, 0) }
  }

  /** Makes these the only ones. @returns what that changes */
  replace(sets: readonly L7RuleSet[]): RuleSetChange {
    const wanted = new Set(sets.map(({ number }) => number))
    return this.change(
      sets,
      [...this.#sets.keys()].filter(number => !wanted.has(number)),
    )
  }

  /**
   * A set that is there already as it is wanted is not touched. One with another content is not what its number stood for
   * before: it comes after the old one has gone.
   * @returns what is different now
   */
  change(add: readonly L7RuleSet[], remove: readonly number[]): RuleSetChange {
    const added = add.filter(set => !isDeepStrictEqual(this.#sets.get(set.number), set))
    const gone = remove.filter(number => this.#sets.has(number))
    const replaced = added.map(({ number }) => number).filter(number => this.#sets.has(number))
    for (const set of added) this.#write(set)
    for (const number of gone) this.#remove(number)
    if (added.length + gone.length > 0) this.#revision++
    return { whole: false, add: added, remove: [...gone, ...replaced] }
  }

  #write(set: L7RuleSet): void {
    const file = this.#file(set.number)
    fs.writeFileSync(`${file}.new`, JSON.stringify(set), { mode: 0o600 })
    fs.renameSync(`${file}.new`, file)
    this.#sets.set(set.number, set)
  }

  #remove(number: number): void {
    fs.rmSync(this.#file(number), { force: true })
    this.#sets.delete(number)
  }

  #file(number: number): string {
    return path.join(this.#folder, `${number}.json`)
  }
}
