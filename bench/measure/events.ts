// How fast flow events of the real program are read out of the ring buffer: every field of a record where it lies,
// without an object for it; and, to compare, as one object each. Test runs of the program on a packet that it drops
// make the events; only their reading is timed.

import { RingBuffer } from '../../src/bpf/index.ts'
import { type Datapath, decodeFlowEvent, FlowEventReader } from '../../src/maps/index.ts'
import { interleave } from '../harness/interleave.ts'
import { plainLine } from '../harness/result.ts'
import { median } from '../harness/statistics.ts'
import { FRAME, loadWithPods, SENDER_CONTEXT } from '../testbed/datapath.ts'
import type { OwnMeasurement } from './measurement.ts'

const TARGET_PER_SECOND = 1_000_000
const RECORD_HEADER_BYTES = 8
/** Part of the ring that is filled before it is read. */
const FILLED = 0.9

export const measureEvents: OwnMeasurement = async ({ effort, signal, say }) => {
  say('flow events')
  using datapath = loadWithPods('deny')
  const layout = datapath.schema.flowEvent
  using ring = RingBuffer.open(datapath.maps.events)
  const count = Math.floor((ring.size * FILLED) / (RECORD_HEADER_BYTES + layout.size))
  const reader = new FlowEventReader(layout)
  let sum = 0
  const inPlace = () => ring.drain((view, at, length) => void (sum += sumOfFields(reader.at(view, at, length))))
  const asObjects = () =>
    ring.drain((view, at, length) => void (sum += decodeFlowEvent(layout, view, at, length).length))
  const rate = (drain: () => number) => async () => {
    datapath.programs.from_pod.testRun({ packet: FRAME, context: SENDER_CONTEXT, repeat: count })
    return timedRate(drain, count)
  }
  const rates = await interleave(
    [
      { name: 'inPlace', sample: rate(inPlace) },
      { name: 'asObjects', sample: rate(asObjects) },
    ],
    { count: Math.ceil(effort.events / count), signal },
  )
  if (!(sum > 0)) throw new Error('the events hold nothing')
  const described = {
    id: 'events/in-place',
    text: 'decoded in place, without an object each',
    unit: '/s',
    target: { kind: 'at least', value: TARGET_PER_SECOND },
    samples: { perSecond: rates.inPlace },
    note: describeRun(datapath, count, rates.inPlace.length),
  } as const
  const objects = {
    id: 'events/objects',
    text: 'decoded as an object each',
    unit: '/s',
    samples: { perSecond: rates.asObjects },
  }
  const lines = [plainLine(described, median(rates.inPlace)), plainLine(objects, median(rates.asObjects))]
  return { name: 'events', title: 'Flow events read from the ring buffer', lines }
}

function describeRun({ schema }: Datapath, count: number, rounds: number): string {
  const events = count.toLocaleString('en-US')
  return `${rounds} times ${events} events of ${schema.flowEvent.size} bytes; every field but time and addresses is read`
}

function timedRate(drain: () => number, expected: number): number {
  const before = performance.now()
  const count = drain()
  const seconds = (performance.now() - before) / 1000
  if (count !== expected) throw new Error(`${expected} events were made, and ${count} read`)
  return count / seconds
}

function sumOfFields(event: FlowEventReader): number {
  const ports = event.source_port + event.destination_port
  const header = event.protocol + event.family + event.tcp_flags + event.icmp_type + event.icmp_code + event.length
  const verdict = event.kind + event.verdict + event.direction + event.drop_reason + event.observation + event.is_reply
  const ends = event.identity(0) + event.identity(1) + event.endpoint(0) + event.endpoint(1) + event.ifindex
  const rules = event.egress_rule + event.ingress_rule + event.flow_flags
  const volume = event.packets(0) + event.packets(1) + event.bytes(0) + event.bytes(1)
  return ports + header + verdict + ends + rules + volume
}
