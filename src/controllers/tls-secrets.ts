// What TLS contexts of rules take from a Secret, checked before a proxy gets it: texts in
// PEM, and nothing else that an item may hold beside them. What is wrong is told by
// the names of keys; no message has what is in them.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import type { TlsUse } from '../policy/index.ts'

/** First words of the ids of problems with a Secret without which what a rule is about is denied. */
export const TLS_SECRET_MISSING = 'tls-secret-missing '

/** What can be taken from the items of a Secret for one use. `errors`: it cannot be used. In words, about its keys. */
export type TlsItems = {
  /** In PEM, by key. */
  readonly keys: Readonly<Record<string, string>>
  readonly errors: readonly string[]
  readonly warnings: readonly string[]
}

type Items = ReadonlyMap<string, Uint8Array>

/** @param nowMs milliseconds since the Unix epoch */
export function tlsItems({ end, context }: Pick<TlsUse, 'end' | 'context'>, items: Items, nowMs: number): TlsItems {
  const { certificate, privateKey, trustedCa, needsTrustedCa } = context
  const reading = new Reading(items)
  const shown = reading.certificates(certificate)
  const key = reading.privateKey(privateKey)
  const trusted = reading.certificates(trustedCa)
  const showsCertificate = end === 'terminating' || items.has(certificate) || items.has(privateKey)
  for (const name of showsCertificate ? [certificate, privateKey] : [])
    if (!items.has(name)) reading.errors.push(`key ${name} is not there`)
  if (needsTrustedCa && !items.has(trustedCa)) reading.errors.push(`key ${trustedCa} is not there`)
  if (shown[0] && key && !shown[0].checkPrivateKey(key))
    reading.errors.push(`the private key in ${privateKey} is not that of the certificate in ${certificate}`)
  const warnings = [
    ...(shown[0] ? untimely(shown.slice(0, 1), certificate, nowMs) : []),
    ...untimely(trusted, trustedCa, nowMs),
  ]
  return { keys: reading.taken, errors: reading.errors, warnings }
}

/** Secrets of Kubernetes have no more in all. */
const MAX_ITEM_BYTES = 1 << 20
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g
const PRIVATE_KEY = /-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----[^-]*-----END \1-----/

/** The items of one Secret that were asked for, and what is wrong with them. */
class Reading {
  readonly errors: string[] = []
  readonly taken: Record<string, string> = {}
  readonly #items: Items

  constructor(items: Items) {
    this.#items = items
  }

  /** None where the item is not there, or is no such thing. */
  certificates(name: string): readonly X509Certificate[] {
    const bytes = this.#items.get(name)
    if (!bytes) return []
    const found = certificatesIn(bytes)
    if (!found) this.errors.push(`key ${name} holds no certificates in PEM`)
    else this.taken[name] = found.text
    return found?.certificates ?? []
  }

  privateKey(name: string): KeyObject | undefined {
    const bytes = this.#items.get(name)
    if (!bytes) return undefined
    const found = privateKeyIn(bytes)
    if (!found) this.errors.push(`key ${name} holds no private key in PEM, or one that is encrypted`)
    else this.taken[name] = found.text
    return found?.key
  }
}

const certificatesIn = remembering(bytes => {
  const texts = textOf(bytes).match(CERTIFICATE) ?? []
  if (texts.length === 0) return undefined
  return { text: `${texts.join('\n')}\n`, certificates: texts.map(text => new X509Certificate(text)) }
})

const privateKeyIn = remembering(bytes => {
  const [text = ''] = PRIVATE_KEY.exec(textOf(bytes)) ?? []
  const key = createPrivateKey(text)
  return { text: key.export({ type: 'pkcs8', format: 'pem' }).toString(), key }
})

/** What is read of an item, once: a bundle of all authorities is two hundred kilobytes, and is asked for at each change of rules. */
function remembering<Found>(read: (bytes: Uint8Array) => Found | undefined): (bytes: Uint8Array) => Found | undefined {
  const known = new WeakMap<Uint8Array, { readonly found: Found | undefined }>()
  return bytes => {
    const before = known.get(bytes)
    if (before) return before.found
    const found = attempt(() => read(bytes))
    known.set(bytes, { found })
    return found
  }
}

function attempt<Found>(read: () => Found | undefined): Found | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

/** Bundles have names of authorities beside their certificates, in whatever encoding. */
const textOf = (bytes: Uint8Array): string =>
  bytes.byteLength > MAX_ITEM_BYTES ? '' : new TextDecoder('latin1').decode(bytes)

/** One that holds is enough: bundles keep old ones for a while. */
function untimely(certificates: readonly X509Certificate[], name: string, nowMs: number): string[] {
  const isTimely = ({ validFrom, validTo }: X509Certificate): boolean =>
    Date.parse(validFrom) <= nowMs && nowMs <= Date.parse(validTo)
  const [first] = certificates
  if (!first || certificates.some(isTimely)) return []
  const [from, to] = [first.validFrom, first.validTo].map(text => new Date(text))
  if (from && nowMs < from.getTime()) return [`the certificate in ${name} holds only from ${from.toISOString()} on`]
  return [`the certificate in ${name} has expired: it held until ${to?.toISOString()}`]
}
