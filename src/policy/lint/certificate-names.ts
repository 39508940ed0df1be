// For whom a certificate is: the names of servers in it (RFC 5280, 4.2.1.6), read from
// the text in PEM. Enough of DER for that, so that lint needs nothing of its surroundings.

const PEM = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----/

/** In lower case, such as `*.example.com`; those of the first certificate. Undefined where there is none that can be read. */
export function certificateNames(pem: string): string[] | undefined {
  const packed = PEM.exec(pem)?.[1]
  if (packed === undefined) return undefined
  try {
    const bytes = Uint8Array.from(atob(packed.replace(/\s/g, '')), character => character.charCodeAt(0))
    return alternativeNames(bytes)
  } catch {
    return undefined
  }
}

/** Whether a certificate with these names is for a server of this one: `*` stands for one whole label (RFC 6125, 6.4.3). */
export function isNamed(names: readonly string[], server: string): boolean {
  const parent = server.replace(/^[^.]+\./, '*.')
  return names.some(name => name === server || name === parent)
}

/** What follows a tag, and where the next value begins. */
type Value = { readonly tag: number; readonly content: Uint8Array; readonly end: number }

const TAGS = { octets: 0x04, object: 0x06, sequence: 0x30, dnsName: 0x82, extensions: 0xa3 } as const
/** 2.5.29.17, subjectAltName. */
const ALTERNATIVE_NAME = [0x55, 0x1d, 0x11]

function alternativeNames(certificate: Uint8Array): string[] {
  const [outer] = valuesIn(certificate)
  const [signed] = valuesIn(contentOf(outer, TAGS.sequence))
  const extensions = valuesIn(contentOf(signed, TAGS.sequence)).find(({ tag }) => tag === TAGS.extensions)
  const [list] = extensions ? valuesIn(extensions.content) : []
  for (const extension of list ? valuesIn(list.content) : []) {
    const parts = valuesIn(extension.content)
    const id = contentOf(parts[0], TAGS.object)
    if (id.length !== ALTERNATIVE_NAME.length || !id.every((byte, i) => byte === ALTERNATIVE_NAME[i])) continue
    const [names] = valuesIn(contentOf(parts.at(-1), TAGS.octets))
    return valuesIn(contentOf(names, TAGS.sequence))
      .filter(({ tag }) => tag === TAGS.dnsName)
      .map(({ content }) => new TextDecoder('latin1').decode(content).toLowerCase())
  }
  return []
}

/** @throws Error where the value is none of that kind */
function contentOf(value: Value | undefined, tag: number): Uint8Array {
  if (value?.tag !== tag) throw new Error('this is no certificate')
  return value.content
}

function valuesIn(bytes: Uint8Array): Value[] {
  const values: Value[] = []
  for (let at = 0; at < bytes.length; at = values.at(-1)?.end ?? bytes.length) values.push(valueAt(bytes, at))
  return values
}

/** Definite lengths alone, as DER has them. @throws RangeError where the value is longer than the bytes */
function valueAt(bytes: Uint8Array, at: number): Value {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const tag = view.getUint8(at)
  const short = view.getUint8(at + 1)
  const lengthBytes = short < 0x80 ? 0 : short & 0x7f
  let length = short < 0x80 ? short : 0
  for (let i = 0; i < lengthBytes; i++) length = length * 256 + view.getUint8(at + 2 + i)
  const start = at + 2 + lengthBytes
  if (start + length > bytes.length) throw new RangeError('a value is longer than what it is in')
  return { tag, content: bytes.subarray(start, start + length), end: start + length }
}
