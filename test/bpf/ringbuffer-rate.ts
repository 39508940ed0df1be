// How many events a second the ring-buffer reader decodes. Not a test: prints a
// rate. Run as root: `node test/bpf/ringbuffer-rate.ts`.

import { loadObject, RingBuffer } from '../../src/bpf/index.ts'
import { frame, loadSpec } from './support.ts'

export type RingBufferRate = {
  /** Millions of events a second, median of the rounds. */
  readonly decoded: number
  /** The same with an object made for every event, for comparison. */
  readonly asObjects: number
  readonly events: number
  readonly rounds: number
}

/** Fills the ring by running a program, then times only the reading; every field of the event is read. */
export function measureRingBufferRate(rounds = 15): RingBufferRate {
  const spec = loadSpec('programs')
  using object = loadObject(spec, { programs: ['emit'], maxEntries: { events: 1 << 22 } })
  using ring = RingBuffer.open(object.map('events'))
  const event = spec.btf.struct('event')
  const at = {
    sequence: event.field('sequence').offset,
    length: event.field('length').offset,
    kind: event.field('kind').offset,
    sum: event.field('sum').offset,
  }
  const events = Math.floor((1 << 22) / (event.size + 8)) - 1
  let checksum = 0
  const timed = (visit: Parameters<RingBuffer['drain']>[0]): number => {
    object.program('emit').testRun({ packet: frame(), repeat: events })
    const start = process.hrtime.bigint()
    const count = ring.drain(visit)
    const microseconds = Number(process.hrtime.bigint() - start) / 1000
    if (count !== events) throw new Error(`${events - count} of ${events} events were lost`)
    return count / microseconds
  }
  const decoded = (): number =>
    timed((view, offset) => {
      checksum += view.getUint32(offset + at.sequence, true)
      checksum += view.getUint16(offset + at.length, true)
      checksum += view.getUint8(offset + at.kind)
      checksum += view.getUint32(offset + at.sum + 4, true)
    })
  const asObjects = (): number => {
    const kept: object[] = []
    return timed((view, offset) => {
      kept.push({
        sequence: view.getUint32(offset + at.sequence, true),
        length: view.getUint16(offset + at.length, true),
        kind: view.getUint8(offset + at.kind),
        sum: view.getBigUint64(offset + at.sum, true),
      })
    })
  }

  const rates = Array.from({ length: rounds }, () => [decoded(), asObjects()] as const)
  if (checksum === 0) throw new Error('nothing was read')
  const median = (which: 0 | 1): number =>
    rates.map(rate => rate[which]).sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? 0
  return { decoded: median(0), asObjects: median(1), events, rounds }
}

if (import.meta.main) {
  const { decoded, asObjects, events, rounds } = measureRingBufferRate()
  console.log(`${decoded.toFixed(1)} M events/s decoded without an object each, median of ${rounds} × ${events}`)
  console.log(`${asObjects.toFixed(1)} M events/s with an object each`)
}
