// SHA-256 (FIPS 180-4) of bytes, synchronous and without a module of Node, so that the
// policy engine runs in a browser. Names content; it keeps no secret.

const BLOCK_BYTES = 64

const DIGEST_BYTES = 32

/** The SHA-256 of a message: 32 bytes. */
export function digest(message: Uint8Array): Uint8Array {
  const state = Int32Array.from(INITIAL_STATE)
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength)
  const whole = message.length - (message.length % BLOCK_BYTES)
  for (let offset = 0; offset < whole; offset += BLOCK_BYTES) absorb(state, view, offset)
  const end = lastBlocks(message.subarray(whole), message.length)
  for (let offset = 0; offset < end.byteLength; offset += BLOCK_BYTES) absorb(state, end, offset)
  const bytes = new DataView(new ArrayBuffer(DIGEST_BYTES))
  for (const [i, word] of state.entries()) bytes.setInt32(4 * i, word)
  return new Uint8Array(bytes.buffer)
}

/** What is left of the message, the mark of its end, and its length in bits: one or two blocks. */
function lastBlocks(rest: Uint8Array, messageBytes: number): DataView {
  const bytes = new Uint8Array(rest.length + 9 > BLOCK_BYTES ? 2 * BLOCK_BYTES : BLOCK_BYTES)
  bytes.set(rest)
  bytes[rest.length] = 0x80
  const view = new DataView(bytes.buffer)
  view.setBigUint64(bytes.length - 8, BigInt(messageBytes) * 8n)
  return view
}

// One for all calls: they never interleave, and this is where the time goes.
const schedule = new Int32Array(64)

function absorb(state: Int32Array, blocks: DataView, offset: number): void {
  for (let i = 0; i < 16; i++) schedule[i] = blocks.getInt32(offset + 4 * i)
  for (let i = 16; i < 64; i++) {
    const w15 = schedule[i - 15] as number
    const w2 = schedule[i - 2] as number
    const low = rotate(w15, 7) ^ rotate(w15, 18) ^ (w15 >>> 3)
    const high = rotate(w2, 17) ^ rotate(w2, 19) ^ (w2 >>> 10)
    schedule[i] = ((schedule[i - 16] as number) + low + (schedule[i - 7] as number) + high) | 0
  }
  let a = state[0] as number
  let b = state[1] as number
  let c = state[2] as number
  let d = state[3] as number
  let e = state[4] as number
  let f = state[5] as number
  let g = state[6] as number
  let h = state[7] as number
  for (let i = 0; i < 64; i++) {
    const chosen = (e & f) ^ (~e & g)
    const majority = (a & b) ^ (a & c) ^ (b & c)
    const mixedE = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    const mixedA = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
    const first = (h + mixedE + chosen + (ROUND_CONSTANTS[i] as number) + (schedule[i] as number)) | 0
    h = g
    g = f
    f = e
    e = (d + first) | 0
    d = c
    c = b
    b = a
    a = (first + mixedA + majority) | 0
  }
  state[0] = (state[0] as number) + a
  state[1] = (state[1] as number) + b
  state[2] = (state[2] as number) + c
  state[3] = (state[3] as number) + d
  state[4] = (state[4] as number) + e
  state[5] = (state[5] as number) + f
  state[6] = (state[6] as number) + g
  state[7] = (state[7] as number) + h
}

const rotate = (value: number, bits: number): number => (value >>> bits) | (value << (32 - bits))

const PRIMES = firstPrimes(64)

/** The first 32 bits of the fractional parts of the roots of the first primes. */
const INITIAL_STATE = Int32Array.from(PRIMES.slice(0, 8), prime => fractionBits(Math.sqrt(prime)))
const ROUND_CONSTANTS = Int32Array.from(PRIMES, prime => fractionBits(Math.cbrt(prime)))

function fractionBits(value: number): number {
  return Math.floor((value % 1) * 2 ** 32)
}

function firstPrimes(count: number): number[] {
  const primes: number[] = []
  for (let candidate = 2; primes.length < count; candidate++)
    if (primes.every(prime => candidate % prime !== 0)) primes.push(candidate)
  return primes
}
