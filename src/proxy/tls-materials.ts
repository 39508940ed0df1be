// What a process needs of Secrets to end or begin TLS, as files: checked here, so that what
// is wrong is told in words about keys of Secrets, and no server is started with it. No
// message has what is in them.

import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { SecretValueRow } from '../api/index.ts'
import type { SecretReference, TlsContext, TlsEnd } from '../policy/index.ts'
import type { TlsContextFiles } from './haproxy/options.ts'
import { secretName } from './secret-store.ts'

export type TlsEnds = { readonly [End in TlsEnd]?: TlsContext | undefined }

/** Files by name, in PEM, and what each is for; or why there is nothing to start with. */
export type TlsMaterials = UsableMaterials | { readonly problem: string }

export type UsableMaterials = {
  readonly texts: Readonly<Record<string, string>>
  readonly files: TlsContextFiles
  /** Another one when a text is. */
  readonly digest: string
}

type KeysOf = (secret: SecretReference) => SecretValueRow['keys']

/** Where systems keep the authorities that they trust. */
const AUTHORITIES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
] as const

/** @param authorities files of which the first that is there has the authorities that the node trusts */
export function tlsMaterials(
  { terminating, originating }: TlsEnds,
  keysOf: KeysOf,
  authorities: readonly string[] = AUTHORITIES,
): TlsMaterials {
  const texts: Record<string, string> = {}
  const keep = (name: string, text: string): string => {
    texts[name] = text
    return name
  }
  try {
    const files: TlsContextFiles = {
      ...(terminating && { terminating: terminatingFiles(new Keys('terminatingTLS', terminating, keysOf), keep) }),
      ...(originating && {
        originating: originatingFiles(new Keys('originatingTLS', originating, keysOf), keep, authorities),
      }),
    }
    return { texts, files, digest: createHash('sha256').update(JSON.stringify(texts)).digest('hex') }
  } catch (error) {
    if (error instanceof UnusableError) return { problem: error.message }
    throw error
  }
}

type Keep = (name: string, text: string) => string

function terminatingFiles(keys: Keys, keep: Keep): NonNullable<TlsContextFiles['terminating']> {
  const certificate = keys.pair() ?? keys.fail('certificate', 'is not there')
  const trusted = keys.trusted()
  return {
    certificate: keep('terminating.pem', certificate),
    ...(trusted !== undefined && { trustedCa: keep('terminating-ca.pem', trusted) }),
  }
}

function originatingFiles(
  keys: Keys,
  keep: Keep,
  authorities: readonly string[],
): NonNullable<TlsContextFiles['originating']> {
  const trusted = keys.trusted() ?? trustedByNode(authorities)
  const certificate = keys.pair()
  return {
    trustedCa: keep('originating-ca.pem', trusted),
    ...(certificate !== undefined && { certificate: keep('originating.pem', certificate) }),
  }
}

function trustedByNode(authorities: readonly string[]): string {
  const file = authorities.find(one => fs.existsSync(one))
  if (file === undefined)
    throw new UnusableError(
      'originatingTLS: the Secret names no authorities to trust, and the node has none: give trustedCA',
    )
  return fs.readFileSync(file, 'utf8')
}

class UnusableError extends Error {
  override readonly name = 'UnusableError'
}

type Place = 'certificate' | 'privateKey' | 'trustedCa'

type Texts = NonNullable<SecretValueRow['keys']>

/** What is read of a Secret's texts, once: a bundle of all authorities takes milliseconds, and is looked at with each change of rules. */
const certificatesOf = new WeakMap<Texts, Map<string, X509Certificate[] | undefined>>()

/** The keys of one Secret that one end of TLS names. */
class Keys {
  readonly #field: string
  readonly #context: TlsContext
  readonly #texts: Texts

  constructor(field: string, context: TlsContext, keysOf: KeysOf) {
    this.#field = field
    this.#context = context
    const texts = keysOf(context.secret)
    if (!texts)
      throw new UnusableError(`${field}: Secret ${secretName(context.secret)} is not there, or cannot be used`)
    this.#texts = texts
  }

  /** The certificates and their private key; undefined: neither is there. */
  pair(): string | undefined {
    const { certificate, privateKey } = this.#context
    const [shown, secret] = [this.#texts[certificate], this.#texts[privateKey]]
    if (shown === undefined && secret === undefined) return undefined
    if (shown === undefined) return this.fail('certificate', 'is not there')
    if (secret === undefined) return this.fail('privateKey', 'is not there')
    const [first] = this.#certificates(certificate) ?? []
    if (!first) return this.fail('certificate', 'holds no certificates in PEM')
    const key = privateKeyIn(secret)
    if (!key) return this.fail('privateKey', 'holds no private key in PEM, or one that is encrypted')
    if (!first.checkPrivateKey(key)) return this.fail('privateKey', `is not the private key of ${certificate}`)
    const objection = objectionTo(shown, secret)
    if (objection !== undefined) return this.fail('certificate', `cannot be used for TLS: ${objection}`)
    return `${shown.trimEnd()}\n${key.export({ type: 'pkcs8', format: 'pem' }).toString()}`
  }

  /** Undefined: the Secret names none. */
  trusted(): string | undefined {
    const { trustedCa, needsTrustedCa } = this.#context
    const text = this.#texts[trustedCa]
    if (text === undefined) return needsTrustedCa ? this.fail('trustedCa', 'is not there') : undefined
    if (!this.#certificates(trustedCa)) return this.fail('trustedCa', 'holds no certificates in PEM')
    return text
  }

  /** Undefined when there is none, or one that is none. */
  #certificates(name: string): readonly X509Certificate[] | undefined {
    const known = certificatesOf.get(this.#texts) ?? new Map<string, X509Certificate[] | undefined>()
    certificatesOf.set(this.#texts, known)
    if (!known.has(name)) known.set(name, certificatesIn(this.#texts[name] ?? ''))
    return known.get(name)
  }

  fail(place: Place, what: string): never {
    const { secret, [place]: key } = this.#context
    throw new UnusableError(`${this.#field}: key ${key} of Secret ${secretName(secret)} ${what}`)
  }
}

/** What OpenSSL has against it, such as a key that is too short: a server that is given it does not start. */
function objectionTo(cert: string, key: string): string | undefined {
  try {
    createSecureContext({ cert, key })
    return undefined
  } catch (error) {
    return (error as { readonly reason?: string }).reason ?? 'OpenSSL refuses it'
  }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

function certificatesIn(text: string): X509Certificate[] | undefined {
  try {
    const found = text.match(CERTIFICATE)?.map(one => new X509Certificate(one))
    return found && found.length > 0 ? found : undefined
  } catch {
    return undefined
  }
}

function privateKeyIn(text: string): KeyObject | undefined {
  try {
    return createPrivateKey(text)
  } catch {
    return undefined
  }
}
