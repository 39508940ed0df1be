// Secrets that rules of this proxy name: in memory, and in a file that only root can read,
// so that the next process has them without asking anybody. They are never told, neither
// by the API nor in logs.

import fs from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import type { SecretValueRow } from '../api/index.ts'
import type { SecretReference } from '../policy/index.ts'

export class SecretStore {
  readonly #file: string
  #values = new Map<string, SecretValueRow>()

  /** Reads what is there. A file that is broken is removed: no header is as a secret says until they come again. */
  constructor(file: string, onBroken: (file: string, error: unknown) => void) {
    this.#file = file
    try {
      this.#values = byName(JSON.parse(fs.readFileSync(file, 'utf8')) as SecretValueRow[])
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
      onBroken(file, new Error('it cannot be read'))
      fs.rmSync(file, { force: true })
    }
  }

  readonly valueOf = (secret: SecretReference): string | undefined => this.#values.get(secretName(secret))?.value

  /** PEM texts by the names that they have in the secret; undefined: the secret is not there. */
  readonly keysOf = (secret: SecretReference): SecretValueRow['keys'] => this.#values.get(secretName(secret))?.keys

  /** Makes these the only ones. @returns those that are other than before */
  replace(rows: readonly SecretValueRow[]): SecretReference[] {
    const wanted = byName(rows)
    const names = new Set([...this.#values.keys(), ...wanted.keys()])
    const changed = [...names].flatMap(name => {
      const [before, after] = [this.#values.get(name), wanted.get(name)]
      return isDeepStrictEqual(before, after) ? [] : [(after ?? before) as SecretReference]
    })
    if (changed.length === 0) return []
    fs.writeFileSync(`${this.#file}.new`, JSON.stringify(rows), { mode: 0o600 })
    fs.renameSync(`${this.#file}.new`, this.#file)
    this.#values = wanted
    return changed
  }
}

/** `NAMESPACE/NAME`. */
export const secretName = ({ namespace, name }: SecretReference): string => `${namespace}/${name}`

const byName = (rows: readonly SecretValueRow[]) => new Map(rows.map(row => [secretName(row), row]))
