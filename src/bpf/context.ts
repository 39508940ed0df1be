// `struct __sk_buff`, the context of tc programs, as far as a test run lets it be
// set and read. Layout: include/uapi/linux/bpf.h; ABI, so it stands here as numbers.

/**
 * The fields a test run takes and gives back (net/bpf/test_run.c, `convert___skb_to_skb`); the kernel refuses all
 * others. Every one may be left out and is then 0.
 */
export type SkBuffContext = {
  readonly mark?: number
  readonly priority?: number
  /** Device the packet came in by; 0 for none. */
  readonly ingress_ifindex?: number
  /** Device it is on: must exist in the network namespace of the caller. 0 stands for its loopback. */
  readonly ifindex?: number
  /** Scratch words a program may pass to the next. */
  readonly cb?: readonly [number, number, number, number, number]
  /** ns. */
  readonly tstamp?: bigint
  readonly wire_len?: number
  readonly gso_segs?: number
  readonly gso_size?: number
}

const SIZE = 192
const CB = 48
const TSTAMP = 152
const WORDS = {
  mark: 8,
  priority: 32,
  ingress_ifindex: 36,
  ifindex: 40,
  wire_len: 160,
  gso_segs: 164,
  gso_size: 176,
} as const

export function encodeSkBuff(context: SkBuffContext): Uint8Array {
  const bytes = new Uint8Array(SIZE)
  const view = new DataView(bytes.buffer)
  for (const [name, offset] of Object.entries(WORDS))
    view.setUint32(offset, context[name as keyof typeof WORDS] ?? 0, true)
  context.cb?.forEach((word, index) => view.setUint32(CB + 4 * index, word, true))
  view.setBigUint64(TSTAMP, context.tstamp ?? 0n, true)
  return bytes
}

export function decodeSkBuff(given: Uint8Array): Required<SkBuffContext> {
  const bytes = new Uint8Array(SIZE)
  bytes.set(given.subarray(0, SIZE))
  const view = new DataView(bytes.buffer)
  const word = (offset: number): number => view.getUint32(offset, true)
  const words = Object.fromEntries(Object.entries(WORDS).map(([name, offset]) => [name, word(offset)]))
  return {
    ...(words as Record<keyof typeof WORDS, number>),
    cb: [word(CB), word(CB + 4), word(CB + 8), word(CB + 12), word(CB + 16)],
    tstamp: view.getBigUint64(TSTAMP, true),
  }
}
