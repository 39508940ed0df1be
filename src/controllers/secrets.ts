// Secrets as they are declared now, in memory alone: no table and no journal has them, so
// no API tells them. A Secret that is not valid any more stays as it was.

import type { SecretManifest } from '../manifests/index.ts'
import type { TlsUse } from '../policy/index.ts'
import { objectKey } from '../tables/index.ts'
import { type TlsItems, tlsItems } from './tls-secrets.ts'

type Reference = { readonly namespace: string; readonly name: string }

/** What a header may have (RFC 9110, 5.5). */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\uffff]+$/

export class Secrets {
  readonly #items = new Map<string, SecretManifest['items']>()
  #isWhole = false
  #onChange: () => void = () => undefined

  /** Everything that was declared at the start is here. */
  get isWhole(): boolean {
    return this.#isWhole
  }

  /** @param onChange called after each change, when all is here */
  whenChanged(onChange: () => void): void {
    this.#onChange = onChange
  }

  put(secret: SecretManifest): void {
    this.#items.set(objectKey(secret), secret.items)
    this.#changed()
  }

  delete(secret: Reference): void {
    this.#items.delete(objectKey(secret))
    this.#changed()
  }

  initialized(): void {
    this.#isWhole = true
    this.#changed()
  }

  /** The value of a header: the one item of the Secret, without blanks at its ends. Or why there is none. */
  headerValue(secret: Reference): { readonly value: string } | { readonly missing: string } {
    const items = this.#items.get(objectKey(secret))
    if (!items) return { missing: 'is not there' }
    const [bytes, ...more] = items.values()
    if (!bytes || more.length > 0) return { missing: `has ${items.size} items; that of a header has exactly one` }
    try {
      const value = new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim()
      return HEADER_VALUE.test(value) ? { value } : { missing: 'holds no text that a header may have' }
    } catch {
      return { missing: 'holds no text that a header may have' }
    }
  }

  /** What the Secret of a TLS context has for it, in PEM. @param nowMs milliseconds since the Unix epoch */
  tlsItems(use: Pick<TlsUse, 'end' | 'context'>, nowMs: number): TlsItems {
    const items = this.#items.get(objectKey(use.context.secret))
    return items ? tlsItems(use, items, nowMs) : { keys: {}, errors: ['is not there'], warnings: [] }
  }

  #changed(): void {
    if (this.#isWhole) this.#onChange()
  }
}
