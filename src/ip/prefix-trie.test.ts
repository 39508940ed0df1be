// Tests of prefix-trie.ts: the trie agrees with a plain list of prefixes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ADDRESS_BITS, compareBytes, type IpAddress, ip, ipFromBytes } from './address.ts'
import { type Cidr, cidr, cidrContains, cidrOf } from './cidr.ts'
import { PrefixTrie } from './prefix-trie.ts'

// Few different bytes, so that prefixes cover each other often.
const byte = fc.constantFrom(0, 1, 0x80, 0xff)
const anyIp: fc.Arbitrary<IpAddress> = fc
  .tuple(fc.boolean(), fc.array(byte, { minLength: 16, maxLength: 16 }))
  .map(([four, bytes]) => ipFromBytes(Uint8Array.from(four ? bytes.slice(0, 4) : bytes)))
const anyCidr = fc
  .tuple(anyIp, fc.nat(128))
  .map(([address, n]) => cidrOf(address, n % (ADDRESS_BITS[address.family] + 1)))
const anyStep = fc.record({ prefix: anyCidr, remove: fc.boolean(), value: fc.nat() })

const inOrder = (a: Cidr, b: Cidr): number => compareBytes(a.bytes, b.bytes) || a.prefixLength - b.prefixLength

test('agrees with a list after any sequence of inserts and deletes', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 60 }), anyCidr, anyIp, (steps, asked, address) => {
      const trie = new PrefixTrie<number>()
      const list = new Map<string, { prefix: Cidr; value: number }>()
      for (const { prefix, remove, value } of steps) {
        if (remove) assert.equal(trie.delete(prefix), list.delete(prefix.text))
        else {
          assert.equal(trie.set(prefix, value), list.get(prefix.text)?.value)
          list.set(prefix.text, { prefix, value })
        }
        assert.equal(trie.size, list.size)
      }
      const entries = [...list.values()].sort(
        (a, b) => a.prefix.family - b.prefix.family || inOrder(a.prefix, b.prefix),
      )
      for (const of of [asked, address, ...entries.map(entry => entry.prefix)]) {
        const covering = entries
          .filter(entry => cidrContains(entry.prefix, of))
          .sort((a, b) => a.prefix.prefixLength - b.prefix.prefixLength)
        assert.deepEqual(trie.covering(of), covering)
        assert.deepEqual(trie.longestMatch(of), covering.at(-1))
      }
      for (const by of [asked, cidr('0.0.0.0/0'), cidr('::/0'), ...entries.map(entry => entry.prefix)]) {
        assert.deepEqual(
          trie.covered(by),
          entries.filter(entry => cidrContains(by, entry.prefix)),
        )
        assert.equal(trie.get(by), list.get(by.text)?.value)
        assert.equal(trie.has(by), list.has(by.text))
      }
      assert.deepEqual([...trie], entries)
    }),
    { numRuns: 300 },
  )
})

test('a default route of one family never answers for the other', () => {
  const trie = new PrefixTrie<string>()
  trie.set(cidr('::/0'), 'six')
  assert.equal(trie.longestMatch(ip('10.0.0.1')), undefined)
  trie.set(cidr('0.0.0.0/0'), 'four')
  assert.equal(trie.longestMatch(ip('10.0.0.1'))?.value, 'four')
  assert.equal(trie.longestMatch(ip('fd00::1'))?.value, 'six')
})

test('an undefined value is an entry all the same', () => {
  const trie = new PrefixTrie<undefined>()
  trie.set(cidr('10.0.0.0/8'), undefined)
  trie.set(cidr('10.0.0.0/8'), undefined)
  assert.equal(trie.size, 1)
  assert.ok(trie.has(cidr('10.0.0.0/8')))
  assert.ok(trie.delete(cidr('10.0.0.0/8')))
  assert.ok(!trie.delete(cidr('10.0.0.0/8')))
  trie.set(cidr('10.0.0.0/8'), undefined)
  trie.clear()
  assert.equal(trie.size, 0)
  assert.deepEqual([...trie], [])
})
