// What the datapath takes of the machine: kernel memory of its maps as they are declared, size of its programs, time to
// load them, time for one packet; and what writing to its maps costs. Stated, without targets.

import { ip } from '../../src/ip/index.ts'
import { type Datapath, toAddress } from '../../src/maps/index.ts'
import { type Line, plainLine } from '../harness/result.ts'
import { median } from '../harness/statistics.ts'
import { FRAME, loadWithPods, POLICY, policyElements, SENDER_CONTEXT } from '../testbed/datapath.ts'
import type { OwnMeasurement } from './measurement.ts'

const POLICY_ENTRIES = 100
const ENDPOINTS = 1000
const REPEATS = 15
/** Test runs of one sample: few enough that their events do not fill the ring buffer. */
const PACKETS = 5000

export const measureDatapath: OwnMeasurement = ({ say, signal }) => {
  say('sizes of the datapath, costs of its maps')
  const loadMs = repeat(() => loadWithPods('deny').close())
  signal.throwIfAborted()
  using datapath = loadWithPods('deny')
  const lines = [
    ...sizes(datapath),
    stated('load', 'parsed, checked and loaded', 'ms', loadMs),
    stated('known-packet', 'a packet of a known connection', 'ns', packetNs('allow')),
    stated('denied-packet', 'a denied packet, with its event', 'ns', packetNs('deny')),
    ...writes(datapath),
  ]
  return Promise.resolve({ name: 'datapath', title: 'The datapath itself', lines })
}

function stated(id: string, text: string, unit: string, samples: readonly number[], note?: string): Line {
  const described = { id: `datapath/${id}`, text, unit, samples: { [id]: samples }, ...(note && { note }) }
  return plainLine(described, median(samples))
}

function sizes({ maps, programs }: Datapath): Line[] {
  const bytes = Object.values(maps).map(({ name, memoryBytes }) => ({ name, bytes: memoryBytes }))
  const total = bytes.reduce((sum, map) => sum + map.bytes, 0)
  const largest = bytes
    .toSorted((a, b) => b.bytes - a.bytes)
    .map(({ name, bytes }) => `${name} ${(bytes / 1e6).toFixed(2)} MB`)
  return [
    stated('map-memory', 'kernel memory of all maps', 'MB', [total / 1e6], largest.join(', ')),
    ...Object.values(programs).map(program => {
      const { name, jitedSize, translatedSize, verifiedInstructions } = program.info()
      const looked = verifiedInstructions.toLocaleString('en-US')
      const note = `${translatedSize / 8} instructions; the verifier looked at ${looked}`
      return stated(`program-${name}`, `machine code of ${name}`, 'bytes', [jitedSize], note)
    }),
  ]
}

/** Of one run of from_pod, without the device's part; the machine's caches are warm. */
function packetNs(verdict: 'allow' | 'deny'): number[] {
  using datapath = loadWithPods(verdict)
  const run = { packet: FRAME, context: SENDER_CONTEXT, repeat: PACKETS }
  datapath.programs.from_pod.testRun(run)
  return Array.from({ length: REPEATS }, () => datapath.programs.from_pod.testRun(run).durationNs)
}

function writes(datapath: Datapath): Line[] {
  const endpoints = Array.from({ length: ENDPOINTS }, (_, i) => endpointElement(i))
  const [first] = endpoints
  const makePolicyMap = () => datapath.createPolicyMap(policyElements(datapath, POLICY_ENTRIES))
  const swapMs = Array.from({ length: REPEATS }, () => {
    using policy = makePolicyMap()
    return timeMs(() => datapath.maps.policy_maps.set(POLICY, policy))
  })
  const makeMs = repeat(() => makePolicyMap().close())
  const writeMs = repeat(() => first && datapath.maps.endpoints.set(...first))
  const batchMs = repeat(() => datapath.maps.endpoints.updateBatch(endpoints))
  const each = (samples: readonly number[], count: number) => samples.map(ms => (ms * 1000) / count)
  return [
    stated('policy-map', `a policy map of ${POLICY_ENTRIES} entries made`, 'ms', makeMs),
    stated('swap', 'a policy map replaced, until the call returns after a grace period', 'ms', swapMs),
    stated('element', 'an endpoint written', 'µs', each(writeMs, 1)),
    stated('batch', `an endpoint written, as one of ${ENDPOINTS} in a batch`, 'µs', each(batchMs, ENDPOINTS)),
  ]
}

function endpointElement(index: number) {
  const address = toAddress(ip(`10.245.${index >> 8}.${index & 255}`))
  const rest = { ifindex: 1, identity: 300, policy: POLICY, mac: new Uint8Array(6), flags: 0 }
  return [address, { id: 10 + index, ...rest }] as const
}

function timeMs(action: () => void): number {
  const before = performance.now()
  action()
  return performance.now() - before
}

/** Milliseconds of each run after one that warms up. */
function repeat(action: () => unknown): number[] {
  return Array.from({ length: REPEATS + 1 }, () => timeMs(action)).slice(1)
}
