// Properties of frames: what is built is read back; damage is never more than a typed error.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { badChecksums, type DecodedLayer, decode, frame, type Layer, padding, summary } from './index.ts'
import { anyStack, bytes, damagedFrame } from './testing/arbitraries.ts'

/** The decoded layers with only those fields that the given ones have. */
function restrictedTo(given: readonly Layer[], decoded: readonly DecodedLayer[]): unknown[] {
  return decoded.map((layer, i) => {
    const fields = Object.keys(given[i] ?? layer)
    return Object.fromEntries(Object.entries(layer).filter(([name]) => fields.includes(name)))
  })
}

test('what is built is read back, with right checksums, and builds the same bytes again', () => {
  fc.assert(
    fc.property(anyStack, layers => {
      const built = frame(...layers)
      const decoded = decode(built)
      assert.deepEqual(restrictedTo(layers, decoded.layers), layers)
      assert.equal(decoded.truncated, false)
      assert.deepEqual(badChecksums(decoded), [])
      assert.deepEqual(frame(...decoded.layers), built)
    }),
    { numRuns: 1000 },
  )
})

test('padding stays apart from the packet', () => {
  fc.assert(
    fc.property(anyStack, bytes({ minLength: 1, maxLength: 30 }), (layers, rest) => {
      const built = frame(...layers, padding(rest))
      const decoded = decode(built)
      assert.deepEqual(decoded.layers.at(-1), {
        kind: 'padding',
        content: rest,
        after: layers.findIndex(layer => /^ip|arp/.test(layer.kind)),
      })
      assert.deepEqual(restrictedTo(layers, decoded.layers.slice(0, -1)), layers)
      assert.deepEqual(frame(...decoded.layers), built)
    }),
  )
})

test('a packet cut anywhere is told to be truncated, and what is there is kept', () => {
  fc.assert(
    fc.property(anyStack, fc.nat(), (layers, n) => {
      const whole = frame(...layers)
      const cut = whole.subarray(0, n % whole.length)
      const decoded = decode(cut)
      assert.equal(decoded.truncated, true)
      assert.deepEqual(frame(...decoded.layers), Uint8Array.from(cut))
    }),
    { numRuns: 1000 },
  )
})

test('any bytes are read, told in one line, and can be built again to be read the same', () => {
  fc.assert(
    fc.property(fc.oneof(bytes({ maxLength: 120 }), damagedFrame), anything => {
      const decoded = decode(anything)
      const again = frame(...decoded.layers)
      assert.equal(again.length, anything.length)
      assert.deepEqual(decode(again), decoded)
      assert.match(summary(anything), /^[^\n]+$/)
      badChecksums(decoded)
    }),
    { numRuns: 5000 },
  )
})

test('a changed bit under a checksum is noticed', () => {
  fc.assert(
    fc.property(anyStack, fc.nat(), (layers, n) => {
      const decoded = decode(frame(...layers))
      const summed = decoded.layers.flatMap((layer, i) => ('checksum' in layer ? [{ layer, i }] : []))
      fc.pre(summed.length > 0)
      const chosen = summed[n % summed.length]
      assert.ok(chosen)
      const broken = decoded.layers.map((layer, i) =>
        i === chosen.i ? { ...chosen.layer, checksum: (chosen.layer.checksum ^ 0x0100) >>> 0 } : layer,
      )
      // A transport checksum covers the whole packet, of which a fragment has only a part.
      const packet = decoded.layers.findLastIndex((layer, i) => i < chosen.i && /^ipv[46]$/.test(layer.kind))
      const isFragment = decoded.layers
        .slice(packet, chosen.i)
        .some(layer => 'moreFragments' in layer && layer.moreFragments)
      const isJudged = chosen.layer.kind === 'ipv4' || !isFragment
      assert.equal(badChecksums(decode(frame(...broken))).includes(chosen.layer.kind), isJudged)
    }),
  )
})
