// The ring buffer: order, discarded and odd-sized records, wrap-around, wake-up,
// and what closing in the middle does.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { loadObject, RingBuffer } from '../../src/bpf/index.ts'
import { frame, loadSpec, needsRoot } from './support.ts'

describe('ring buffer', { skip: needsRoot }, () => {
  const open = (maxEntries = 4096) => {
    const object = loadObject(loadSpec('programs'), {
      programs: ['emit', 'emit_short'],
      maxEntries: { events: maxEntries },
    })
    const ring = RingBuffer.open(object.map('events'))
    const emit = (count: number, mark = 0): void => {
      for (let index = 0; index < count; index++) object.program('emit').testRun({ packet: frame(), context: { mark } })
    }
    return {
      ring,
      emit,
      object,
      [Symbol.dispose]() {
        ring.close()
        object.close()
      },
    }
  }
  const sequences = (ring: RingBuffer, max?: number): number[] => {
    const seen: number[] = []
    ring.drain((view, offset, length) => {
      assert.equal(length, 16)
      seen.push(view.getUint32(offset, true))
    }, max)
    return seen
  }

  test('events come in order, with the layout BTF tells', () => {
    using opened = open()
    opened.emit(3)
    const event = opened.object.spec.btf.struct('event')
    const seen: unknown[] = []
    const count = opened.ring.drain((view, offset) => {
      seen.push([
        view.getUint32(offset + event.field('sequence').offset, true),
        view.getUint16(offset + event.field('length').offset, true),
        view.getUint8(offset + event.field('kind').offset),
        view.getBigUint64(offset + event.field('sum').offset, true),
      ])
    })
    assert.equal(count, 3)
    assert.deepEqual(
      seen,
      [0, 1, 2].map(n => [n, 64, 9, BigInt(n) << 32n]),
    )
    assert.equal(
      opened.ring.drain(() => assert.fail('nothing is left')),
      0,
    )
  })

  test('discarded records are passed over', () => {
    using opened = open()
    opened.emit(1)
    opened.emit(2, 13)
    opened.emit(1)
    assert.deepEqual(sequences(opened.ring), [0, 3])
    assert.equal(opened.ring.pendingBytes, 0)
  })

  test('records that wrap around the end are in one piece', () => {
    using opened = open()
    let next = 0
    // 24 bytes a record do not divide 4096: many rounds meet every possible position.
    for (let round = 0; round < 20; round++) {
      opened.emit(100)
      for (const sequence of sequences(opened.ring)) assert.equal(sequence, next++)
    }
    assert.equal(next, 2000)
  })

  test('a full ring refuses new events and goes on when there is room', () => {
    using opened = open()
    opened.emit(500)
    const first = sequences(opened.ring)
    assert.ok(first.length > 100 && first.length < 500)
    assert.deepEqual(
      first,
      first.map((_, index) => index),
    )
    opened.emit(1)
    assert.deepEqual(sequences(opened.ring), [first.length])
  })

  test('short records are told by their length', () => {
    using opened = open()
    opened.object.program('emit_short').testRun({ packet: frame() })
    const seen: number[][] = []
    opened.ring.drain((view, offset, length) => {
      seen.push([...new Uint8Array(view.buffer, view.byteOffset + offset, length)])
    })
    assert.deepEqual(seen, [[1, 2, 3, 4, 5]])
  })

  test('drain stops at max and a visitor that throws loses only its own event', () => {
    using opened = open()
    opened.emit(5)
    assert.deepEqual(sequences(opened.ring, 2), [0, 1])
    assert.throws(() =>
      opened.ring.drain(() => {
        throw new Error('no')
      }),
    )
    assert.deepEqual(sequences(opened.ring), [3, 4])
  })

  test('the event loop is woken for every burst', async () => {
    using opened = open()
    let seen = 0
    const waiting = Promise.withResolvers<void>()
    opened.ring.onReadable(() => {
      seen += opened.ring.drain(() => {})
      if (seen === 30) waiting.resolve()
    })
    for (let burst = 0; burst < 10; burst++) {
      opened.emit(3)
      await new Promise(resolve => setImmediate(resolve))
    }
    await waiting.promise
    assert.equal(seen, 30)
  })

  test('no event and no wake-up is lost while another process writes', { timeout: 60_000 }, async () => {
    using opened = open(1 << 20)
    const library = JSON.stringify(join(import.meta.dirname, '../../src/bpf/index.ts'))
    const writer = spawn(process.execPath, [
      '--input-type=module-typescript',
      '-e',
      `import { Program } from ${library}
       const program = Program.byId(${opened.object.program('emit').id})
       for (let burst = 0; burst < 2000; burst++) {
         program.testRun({ packet: new Uint8Array(64), repeat: 1 + (burst % 19) })
         if (burst % 3 === 0) await new Promise(resolve => setImmediate(resolve))
       }`,
    ])
    const total = Array.from({ length: 2000 }, (_, burst) => 1 + (burst % 19)).reduce((sum, count) => sum + count, 0)
    const waiting = Promise.withResolvers<void>()
    let next = 0
    opened.ring.onReadable(() => {
      opened.ring.drain((view, offset) => assert.equal(view.getUint32(offset, true), next++))
      if (next === total) waiting.resolve()
    })
    writer.on('exit', code => code === 0 || waiting.reject(new Error(`the writer ended with ${code}`)))
    await waiting.promise
    assert.equal(next, total)
  })

  test('closing inside a visitor ends the drain; reading after it gives nothing', () => {
    using opened = open()
    opened.emit(5)
    let seen = 0
    let kept: DataView | undefined
    opened.ring.drain(view => {
      seen++
      kept = view
      opened.ring.close()
    })
    assert.equal(seen, 1)
    assert.equal(
      opened.ring.drain(() => assert.fail('closed')),
      0,
    )
    assert.throws(() => opened.ring.onReadable(() => {}))
    assert.equal(typeof kept?.getUint32(0, true), 'number', 'the memory is still there for who holds a view')
  })

  test('only ring buffers can be opened as one', () => {
    using opened = open()
    assert.throws(() => RingBuffer.open(opened.object.map('calls')), /prog_array/)
  })
})
