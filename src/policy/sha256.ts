// SHA-256 (FIPS 180-4) of bytes, synchronous and without a module of Node, so that the
// policy engine runs in a browser. Names content; it keeps no secret.

/** Digest as 64 hexadecimal digits. */
export function sha256(message: Uint8Array): string {
  const blocks = padded(message)
  const state = Uint32Array.from(INITIAL_STATE)
  const schedule = new Uint32Array(64)
  for (let offset = 0; offset < blocks.byteLength; offset += 64) absorb(state, schedule, blocks, offset)
  return [...state].map(word => word.toString(16).padStart(8, '0')).join('')
}

function padded(message: Uint8Array): DataView {
  const bytes = new Uint8Array(Math.ceil((message.length + 9) / 64) * 64)
  bytes.set(message)
  bytes[message.length] = 0x80
  const view = new DataView(bytes.buffer)
  view.setBigUint64(bytes.length - 8, BigInt(message.length) * 8n)
  return view
}

function absorb(state: Uint32Array, schedule: Uint32Array, blocks: DataView, offset: number): void {
  const word = (i: number): number => schedule[i] as number
  for (let i = 0; i < 16; i++) schedule[i] = blocks.getUint32(offset + 4 * i)
  for (let i = 16; i < 64; i++) {
    const low = rotate(word(i - 15), 7) ^ rotate(word(i - 15), 18) ^ (word(i - 15) >>> 3)
    const high = rotate(word(i - 2), 17) ^ rotate(word(i - 2), 19) ^ (word(i - 2) >>> 10)
    schedule[i] = word(i - 16) + low + word(i - 7) + high
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state
  for (let i = 0; i < 64; i++) {
    const chosen = (e & f) ^ (~e & g)
    const majority = (a & b) ^ (a & c) ^ (b & c)
    const first =
      (h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + chosen + (ROUND_CONSTANTS[i] as number) + word(i)) | 0
    const second = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + majority
    h = g
    g = f
    f = e
    e = (d + first) | 0
    d = c
    c = b
    b = a
    a = (first + second) | 0
  }
  for (const [i, value] of [a, b, c, d, e, f, g, h].entries()) state[i] = (state[i] as number) + value
}

const rotate = (value: number, bits: number): number => (value >>> bits) | (value << (32 - bits))

const PRIMES = firstPrimes(64)

/** The first 32 bits of the fractional parts of the roots of the first primes. */
const INITIAL_STATE = PRIMES.slice(0, 8).map(prime => fractionBits(Math.sqrt(prime)))
const ROUND_CONSTANTS = PRIMES.map(prime => fractionBits(Math.cbrt(prime)))

function fractionBits(value: number): number {
  return Math.floor((value % 1) * 2 ** 32)
}

function firstPrimes(count: number): number[] {
  const primes: number[] = []
  for (let candidate = 2; primes.length < count; candidate++)
    if (primes.every(prime => candidate % prime !== 0)) primes.push(candidate)
  return primes
}
