// Broken objects: random bytes and real objects with bytes changed, cut off or
// words blown up. The parsers may refuse or understand them; they may not throw
// anything but FormatError, nor hang. Needs clang, not root.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Btf, compileCodec, FormatError, parseObject } from '../../src/bpf/index.ts'
import { compileObject } from './support.ts'

const whole = ['maps', 'programs'].map(name => new Uint8Array(compileObject(name)))
const stringent = { numRuns: 1500 }

/** Everything the library would ask of an object before it goes to the kernel. */
function understand(bytes: Uint8Array): 'understood' | 'refused' {
  try {
    const { btf, maps, variables } = parseObject(bytes)
    for (const map of maps.values())
      for (const type of [map.keyType, map.valueType]) if (type !== undefined) useType(btf, type)
    for (const { typeId } of variables.values()) useType(btf, typeId)
    return 'understood'
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    return 'refused'
  }
}

function useType(btf: Btf, type: number): void {
  try {
    compileCodec(btf, type)
    btf.layout(type)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
  }
}

const interesting = fc.constantFrom(0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff)

describe('broken objects', () => {
  test('random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
        assert.equal(understand(bytes), 'refused')
      }),
    )
  })

  test('an object cut off anywhere', () => {
    for (const object of whole)
      fc.assert(
        fc.property(fc.nat(object.length - 1), length => {
          understand(object.slice(0, length))
        }),
        { numRuns: 300 },
      )
  })

  test('an object with some bytes changed', () => {
    const change = fc.tuple(fc.nat(), fc.nat(255))
    fc.assert(
      fc.property(fc.constantFrom(...whole), fc.array(change, { minLength: 1, maxLength: 8 }), (object, changes) => {
        const broken = object.slice()
        for (const [position, value] of changes) broken[position % broken.length] = value
        understand(broken)
      }),
      stringent,
    )
  })

  test('an object with words of the header, section table or BTF blown up', () => {
    const change = fc.tuple(fc.nat(), interesting)
    fc.assert(
      fc.property(fc.constantFrom(...whole), fc.array(change, { minLength: 1, maxLength: 4 }), (object, changes) => {
        const broken = object.slice()
        const view = new DataView(broken.buffer)
        for (const [position, value] of changes)
          view.setUint32(4 * (position % (Math.floor(broken.length / 4) - 1)), value, true)
        understand(broken)
      }),
      stringent,
    )
  })

  test('BTF with words changed', () => {
    const btfs = whole.map(object => parseObject(object).btf.bytes)
    const change = fc.tuple(fc.nat(), fc.oneof(interesting, fc.nat(200)))
    fc.assert(
      fc.property(fc.constantFrom(...btfs), fc.array(change, { minLength: 1, maxLength: 6 }), (bytes, changes) => {
        const broken = bytes.slice()
        const view = new DataView(broken.buffer, broken.byteOffset)
        for (const [position, value] of changes)
          view.setUint32(4 * (position % Math.floor(broken.length / 4)), value, true)
        try {
          const btf = new Btf(broken)
          for (const type of btf.types) useType(btf, type.id)
        } catch (error) {
          if (!(error instanceof FormatError)) throw error
        }
      }),
      stringent,
    )
  })

  test('the objects themselves are understood', () => {
    for (const object of whole) assert.equal(understand(object), 'understood')
  })
})
