// Tests of address.ts: what is an address, what is refused, and that text and bytes agree.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  AddressSyntaxError,
  canonicalIp,
  compareBytes,
  formatIp,
  formatIpv6,
  ip,
  ipFromBytes,
  parseIp,
  parseIpv6,
  wireBytes,
} from './address.ts'

const anyBytes = fc.oneof(
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  // Mostly zero groups, where the rules of RFC 5952 matter.
  fc.array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 }).map(bytes => Uint8Array.from(bytes)),
  fc.uint8Array({ minLength: 4, maxLength: 4 }).map(four => ipFromBytes(four).bytes),
)

test('texts that are one address each', async t => {
  const cases: readonly { given: string; want: string }[] = [
    { given: '10.0.0.1', want: '10.0.0.1' },
    { given: '0.0.0.0', want: '0.0.0.0' },
    { given: '255.255.255.255', want: '255.255.255.255' },
    { given: '::', want: '::' },
    { given: '::1', want: '::1' },
    { given: '1::', want: '1::' },
    { given: 'FD00:0:0::00A1', want: 'fd00::a1' },
    { given: '2001:db8:0:0:1:0:0:1', want: '2001:db8::1:0:0:1' },
    { given: '2001:db8:0:1:1:1:1:1', want: '2001:db8:0:1:1:1:1:1' },
    { given: '2001:0:0:1:0:0:0:1', want: '2001:0:0:1::1' },
    { given: '1:2:3:4:5:6:7::', want: '1:2:3:4:5:6:7:0' },
    { given: '64:ff9b::192.0.2.33', want: '64:ff9b::c000:221' },
    { given: '0:0:0:0:ffff:0:0:1', want: '::ffff:0:0:1' },
  ]
  for (const { given, want } of cases)
    await t.test(given, () => {
      assert.equal(canonicalIp(given), want)
      assert.equal(formatIp(ip(given).bytes), want)
    })
})

test('texts that are refused', async t => {
  const refused = [
    '',
    ' ',
    '010.0.0.1',
    '10.0.0.01',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '0x1.2.3.4',
    '1.2.3.4 ',
    '+1.2.3.4',
    '1.2.3.4/32',
    '167772161',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4::5:6:7:8',
    ':1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:',
    '12345::',
    'g::',
    'fe80::1%eth0',
    '[::1]',
    '::ffff:10.0.0.1',
    '::ffff:a00:1',
    '::10.0.0.1:1',
    '1.2.3.4::',
    '::010.0.0.1',
    '1:2:3:4:5:6:7:1.2.3.4',
    '::1.2.3',
  ]
  for (const text of refused)
    await t.test(JSON.stringify(text), () => {
      assert.equal(parseIp(text), undefined)
      assert.throws(() => ip(text), AddressSyntaxError)
    })
})

test('format then parse is the identity, and the text is canonical', () => {
  fc.assert(
    fc.property(anyBytes, bytes => {
      const text = formatIp(bytes)
      const parsed = ip(text)
      assert.deepEqual(parsed.bytes, bytes)
      assert.deepEqual(ipFromBytes(wireBytes(parsed)), parsed)
      assert.deepEqual(parseIpv6(formatIpv6(bytes)), bytes)
      assert.equal(canonicalIp(text.toUpperCase()), text)
    }),
  )
})

test('the canonical text of IPv6 agrees with the WHATWG URL parser', () => {
  fc.assert(
    fc.property(anyBytes, bytes => {
      const text = formatIpv6(bytes)
      const host = new URL(`http://[${text}]/`).hostname.slice(1, -1)
      assert.deepEqual(parseIpv6(host), bytes)
      if (parseIp(text)) assert.equal(host, text)
    }),
  )
})

test('random text never throws', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'0123456789abcdef:./% '.split('')) })),
      text => {
        const parsed = parseIp(text)
        if (parsed) assert.deepEqual(ip(formatIp(parsed.bytes)), parsed)
      },
    ),
  )
})

test('addresses are in the order of their numbers', () => {
  assert.ok(compareBytes(ip('10.0.0.2').bytes, ip('10.0.0.10').bytes) < 0)
  assert.ok(compareBytes(ip('fd00::2').bytes, ip('fd00::1').bytes) > 0)
  assert.equal(compareBytes(ip('fd00::1').bytes, ip('fd00:0::1').bytes), 0)
})
