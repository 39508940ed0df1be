// A map from prefixes to values that answers by containment: the longest prefix that
// covers an address, all that cover one, all that one covers. Path-compressed binary
// trie over the 16-byte form, one root per family so that `::/0` never covers IPv4.
// Every operation walks at most 128 nodes, and covered prefixes come in address order.

import type { Family, IpAddress } from './address.ts'
import { ADDRESS_BITS } from './address.ts'
import { type Cidr, commonBits, mappedLength } from './cidr.ts'

export type PrefixEntry<T> = { readonly prefix: Cidr; readonly value: T }

type Node<T> = {
  readonly bytes: Uint8Array
  readonly length: number
  entry: PrefixEntry<T> | undefined
  readonly children: [Node<T> | undefined, Node<T> | undefined]
}

export class PrefixTrie<T> {
  readonly #roots: Record<Family, Node<T>> = { 4: newNode(new Uint8Array(16), 0), 6: newNode(new Uint8Array(16), 0) }
  #size = 0

  /** How many prefixes are held. */
  get size(): number {
    return this.#size
  }

  /** Adds the prefix or replaces its value. @returns the value it had */
  set(prefix: Cidr, value: T): T | undefined {
    const node = this.#nodeFor(prefix)
    const previous = node.entry
    node.entry = { prefix, value }
    if (!previous) this.#size++
    return previous?.value
  }

  /** Value of exactly this prefix. */
  get(prefix: Cidr): T | undefined {
    return this.#path(prefix).find(entry => entry.prefix.prefixLength === prefix.prefixLength)?.value
  }

  has(prefix: Cidr): boolean {
    return this.#path(prefix).some(entry => entry.prefix.prefixLength === prefix.prefixLength)
  }

  /** Removes exactly this prefix. @returns whether it was there */
  delete(prefix: Cidr): boolean {
    const length = mappedLength(prefix)
    const path: Node<T>[] = []
    let node: Node<T> | undefined = this.#roots[prefix.family]
    while (node && covers(node, prefix.bytes, length)) {
      path.push(node)
      if (node.length === length) break
      node = node.children[bitAt(prefix.bytes, node.length)]
    }
    const found = path.at(-1)
    if (found?.length !== length || !found.entry) return false
    found.entry = undefined
    this.#size--
    collapse(path)
    return true
  }

  /** The longest prefix that covers the address (or the whole prefix). */
  longestMatch(of: IpAddress | Cidr): PrefixEntry<T> | undefined {
    return this.#path(of).at(-1)
  }

  /** Every held prefix that covers the address or the whole prefix, itself included, shortest first. */
  covering(of: IpAddress | Cidr): PrefixEntry<T>[] {
    return this.#path(of)
  }

  /** Every held prefix inside this one, itself included, in address order, shorter before longer. */
  covered(by: Cidr): PrefixEntry<T>[] {
    const length = mappedLength(by)
    let node: Node<T> | undefined = this.#roots[by.family]
    while (node && node.length < length && covers(node, by.bytes, length))
      node = node.children[bitAt(by.bytes, node.length)]
    if (!node || commonBits(node.bytes, by.bytes, length) < length) return []
    return [...entriesBelow(node)]
  }

  /** All entries, IPv4 first, in address order. */
  *[Symbol.iterator](): Generator<PrefixEntry<T>> {
    yield* entriesBelow(this.#roots[4])
    yield* entriesBelow(this.#roots[6])
  }

  clear(): void {
    for (const family of [4, 6] as const) this.#roots[family] = newNode(new Uint8Array(16), 0)
    this.#size = 0
  }

  #path(of: IpAddress | Cidr): PrefixEntry<T>[] {
    const length = 'prefixLength' in of ? mappedLength(of) : mappedLength(hostLength(of))
    const entries: PrefixEntry<T>[] = []
    let node: Node<T> | undefined = this.#roots[of.family]
    while (node && covers(node, of.bytes, length)) {
      if (node.entry) entries.push(node.entry)
      if (node.length === length) break
      node = node.children[bitAt(of.bytes, node.length)]
    }
    return entries
  }

  /** The node that stands for the prefix, made where missing. */
  #nodeFor(prefix: Cidr): Node<T> {
    const { bytes } = prefix
    const length = mappedLength(prefix)
    let parent = this.#roots[prefix.family]
    while (parent.length < length) {
      const side = bitAt(bytes, parent.length)
      const child = parent.children[side]
      if (!child) return (parent.children[side] = newNode(bytes, length))
      const common = commonBits(child.bytes, bytes, Math.min(child.length, length))
      if (common < child.length) {
        // The edge to the child splits where the two keys part, or where the new prefix ends.
        const fork = newNode<T>(bytes, common)
        fork.children[bitAt(child.bytes, common)] = child
        parent.children[side] = fork
        parent = fork
      } else {
        parent = child
      }
    }
    return parent
  }
}

const newNode = <T>(bytes: Uint8Array, length: number): Node<T> => ({
  bytes,
  length,
  entry: undefined,
  children: [undefined, undefined],
})

const hostLength = (address: IpAddress): Pick<Cidr, 'family' | 'prefixLength'> => ({
  family: address.family,
  prefixLength: ADDRESS_BITS[address.family],
})

const bitAt = (bytes: Uint8Array, index: number): 0 | 1 => (((bytes[index >> 3] ?? 0) >> (7 - (index & 7))) & 1 ? 1 : 0)

const covers = (node: Node<unknown>, bytes: Uint8Array, length: number): boolean =>
  node.length <= length && commonBits(node.bytes, bytes, node.length) === node.length

function* entriesBelow<T>(node: Node<T>): Generator<PrefixEntry<T>> {
  if (node.entry) yield node.entry
  for (const child of node.children) if (child) yield* entriesBelow(child)
}

/** Takes the emptied last node of a path out, and its parent too if only one way leads through it then. The root stays. */
function collapse<T>(path: readonly Node<T>[]): void {
  for (let i = path.length - 1; i > 0; i--) {
    const node = path[i]
    const parent = path[i - 1]
    if (!node || !parent || node.entry || (node.children[0] && node.children[1])) return
    parent.children[bitAt(node.bytes, parent.length)] = node.children[0] ?? node.children[1]
  }
}
