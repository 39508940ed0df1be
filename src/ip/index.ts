// IP and MAC addresses, prefixes and the prefix trie: the vocabulary of everything that speaks of
// IP. Pure and browser-safe; imports nothing.

export * from './address.ts'
export * from './cidr.ts'
export * from './mac.ts'
export * from './prefix-trie.ts'
