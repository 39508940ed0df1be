// What the files of the protocols share: how a layer is encoded around what it carries,
// and what decoding one tells about what comes next. Pure.

/** What a layer carries, for the fields that name or cover it. */
export type Inside = {
  readonly body: Uint8Array
  /** EtherType and IP protocol number of the next layer; undefined when a plain payload or nothing follows. */
  readonly etherType: number | undefined
  readonly protocol: number | undefined
}

/** How to read the bytes after a header. */
export type Next =
  | { readonly by: 'etherType'; readonly value: number }
  | { readonly by: 'protocol'; readonly value: number }
  /** The packet that an ICMP error is about, usually cut short. */
  | { readonly by: 'quoted'; readonly value: 4 | 6 }
  | undefined

export type Parsed<L> = {
  readonly layer: L
  readonly body: Uint8Array
  readonly next: Next
  /** Bytes after the packet's own end, such as the padding of a short Ethernet frame. */
  readonly surplus?: Uint8Array
  /** The packet is shorter than its header says. */
  readonly truncated?: boolean
}

/** A layer whose fields that encoding would have filled in are all there. */
export type Resolved<L> = L extends unknown ? Required<L> : never
