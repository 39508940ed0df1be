// Tests of cidr.ts: prefixes, ranges, containment, and what is refused.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ADDRESS_BITS, formatIp, ip, ipFromBytes } from './address.ts'
import {
  addressAt,
  addressCount,
  cidr,
  cidrContains,
  cidrOf,
  cidrsOfRange,
  firstAddress,
  lastAddress,
  mappedLength,
  parseCidr,
} from './cidr.ts'

const anyIp = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }).map(ipFromBytes),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map(ipFromBytes),
)
const anyCidr = fc
  .tuple(anyIp, fc.nat(128))
  .map(([address, n]) => cidrOf(address, n % (ADDRESS_BITS[address.family] + 1)))

test('prefixes of text', async t => {
  const cases: readonly { given: string; want: string; hadHostBits?: true }[] = [
    { given: '10.0.0.0/8', want: '10.0.0.0/8' },
    { given: '10.1.2.3/8', want: '10.0.0.0/8', hadHostBits: true },
    { given: '10.1.2.3/32', want: '10.1.2.3/32' },
    { given: '0.0.0.0/0', want: '0.0.0.0/0' },
    { given: '1.2.3.4/0', want: '0.0.0.0/0', hadHostBits: true },
    { given: '::/0', want: '::/0' },
    { given: 'FD00::1/9', want: 'fd00::/9', hadHostBits: true },
    { given: 'fd00::1/128', want: 'fd00::1/128' },
  ]
  for (const { given, want, hadHostBits = false } of cases)
    await t.test(given, () => {
      assert.equal(parseCidr(given)?.text, want)
      assert.equal(parseCidr(given)?.hadHostBits, hadHostBits)
    })
})

test('prefixes that are refused', async t => {
  const refused = [
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '010.0.0.0/8',
    '::/129',
    '::ffff:10.0.0.0/104',
    '/8',
    '10.0.0.0/ 8',
    '10.0.0.0/255.0.0.0',
    'fe80::%eth0/64',
    '',
  ]
  for (const text of refused)
    await t.test(JSON.stringify(text), () => {
      assert.equal(parseCidr(text), undefined)
      assert.throws(() => cidr(text))
    })
})

test('containment', async t => {
  const cases: readonly { outer: string; inner: string; want: boolean }[] = [
    { outer: '10.0.0.0/8', inner: '10.255.255.255/32', want: true },
    { outer: '10.0.0.0/8', inner: '11.0.0.0/32', want: false },
    { outer: '10.0.0.0/8', inner: '10.0.0.0/7', want: false },
    { outer: '10.0.0.0/8', inner: '10.0.0.0/8', want: true },
    { outer: '0.0.0.0/0', inner: '::/0', want: false },
    { outer: '::/0', inner: '10.0.0.1/32', want: false },
    { outer: 'fd00::/127', inner: 'fd00::1/128', want: true },
    { outer: 'fd00::/127', inner: 'fd00::2/128', want: false },
  ]
  for (const { outer, inner, want } of cases)
    await t.test(`${outer} ${want ? 'holds' : 'does not hold'} ${inner}`, () => {
      assert.equal(cidrContains(cidr(outer), cidr(inner)), want)
      assert.equal(cidrContains(cidr(outer), firstAddress(cidr(inner))) && want, want)
    })
})

test('the text of a prefix is read back as the same prefix', () => {
  fc.assert(
    fc.property(anyCidr, prefix => {
      assert.deepEqual(parseCidr(prefix.text), { ...prefix, hadHostBits: false })
    }),
  )
})

test('a prefix holds its first and last address and not those beside them', () => {
  fc.assert(
    fc.property(anyCidr, prefix => {
      assert.ok(cidrContains(prefix, firstAddress(prefix)))
      assert.ok(cidrContains(prefix, lastAddress(prefix)))
      assert.deepEqual(addressAt(prefix, addressCount(prefix) - 1n), lastAddress(prefix))
      assert.equal(addressAt(prefix, addressCount(prefix)), undefined)
      assert.equal(mappedLength(prefix) - prefix.prefixLength, prefix.family === 4 ? 96 : 0)
    }),
  )
})

test('addresses of a pool', () => {
  const at = (text: string, n: number): string | undefined => {
    const address = addressAt(cidr(text), n)
    return address && formatIp(address.bytes)
  }
  assert.equal(at('10.244.0.0/16', 257), '10.244.1.1')
  assert.equal(at('fd00:10:244::/64', 65536), 'fd00:10:244::1:0')
  assert.equal(at('10.0.0.0/30', -1), undefined)
})

test('a range is cut into the fewest prefixes', () => {
  const texts = (first: string, last: string): string[] => cidrsOfRange(ip(first), ip(last)).map(prefix => prefix.text)
  assert.deepEqual(texts('10.0.0.1', '10.0.0.6'), ['10.0.0.1/32', '10.0.0.2/31', '10.0.0.4/31', '10.0.0.6/32'])
  assert.deepEqual(texts('0.0.0.0', '255.255.255.255'), ['0.0.0.0/0'])
  assert.deepEqual(texts('::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'), ['::/0'])
  assert.throws(() => texts('10.0.0.2', '10.0.0.1'), RangeError)
  assert.throws(() => texts('10.0.0.2', '::1'), RangeError)
})

test('the prefixes of a range join without a gap, from its first address to its last', () => {
  const pair = fc.tuple(fc.nat(0xffffff), fc.nat(0xffff))
  fc.assert(
    fc.property(pair, ([start, more]) => {
      const pool = cidr('10.0.0.0/7')
      const [first, last] = [addressAt(pool, start), addressAt(pool, start + more)]
      assert.ok(first && last)
      const prefixes = cidrsOfRange(first, last)
      assert.deepEqual(prefixes[0]?.bytes, first.bytes)
      const lastPrefix = prefixes.at(-1)
      assert.ok(lastPrefix)
      assert.deepEqual(lastAddress(lastPrefix).bytes, last.bytes)
      assert.equal(
        prefixes.reduce((sum, prefix) => sum + addressCount(prefix), 0n),
        BigInt(more + 1),
      )
    }),
  )
})
