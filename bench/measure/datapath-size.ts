// What the datapath takes of the machine: kernel memory of its maps as they are declared, size of its programs, time to
// load them; and what writing to its maps costs. Stated, without targets.

import fs from 'node:fs'
import type { KernelMap } from '../../src/bpf/index.ts'
import { ip } from '../../src/ip/index.ts'
import { type Datapath, toAddress } from '../../src/maps/index.ts'
import { type Line, plainLine } from '../harness/result.ts'
import { median } from '../harness/statistics.ts'
import { loadDenying, POLICY, policyElements } from '../testbed/datapath.ts'
import type { OwnMeasurement } from './measurement.ts'

const POLICY_ENTRIES = 100
const ENDPOINTS = 1000
const REPEATS = 15

export const measureDatapathSize: OwnMeasurement = ({ say, signal }) => {
  say('sizes of the datapath, costs of its maps')
  const loadMs = repeat(() => loadDenying().close())
  using datapath = loadDenying()
  signal.throwIfAborted()
  const stated = (id: string, text: string, unit: string, samples: readonly number[], note?: string): Line =>
    plainLine({ id: `datapath/${id}`, text, unit, samples: { [id]: samples }, ...(note && { note }) }, median(samples))
  const maps = mapSizes(datapath)
  const programs = Object.values(datapath.programs).map(program => program.info())
  const lines = [
    stated(
      'map-memory',
      'kernel memory of all maps',
      'MB',
      [sum(maps.map(({ bytes }) => bytes)) / 1e6],
      mapsText(maps),
    ),
    ...programs.map(({ name, jitedSize, translatedSize, verifiedInstructions }) =>
      stated(
        `program-${name}`,
        `machine code of ${name}`,
        'bytes',
        [jitedSize],
        `${translatedSize / 8} instructions; the verifier looked at ${verifiedInstructions.toLocaleString('en-US')}`,
      ),
    ),
    stated('load', 'parsed, checked and loaded', 'ms', loadMs),
    stated(
      'policy-map',
      `a policy map of ${POLICY_ENTRIES} entries made`,
      'ms',
      repeat(() => makePolicyMap(datapath)),
    ),
    stated(
      'swap',
      'a policy map replaced, until the call returns',
      'ms',
      Array.from({ length: REPEATS }, () => swapPolicyMap(datapath)),
    ),
    stated(
      'element',
      'one endpoint written',
      'µs',
      repeat(() => writeEndpoint(datapath)).map(ms => ms * 1000),
    ),
    stated(
      'batch',
      `${ENDPOINTS} endpoints written in a batch, each`,
      'µs',
      repeat(() => writeEndpoints(datapath)).map(ms => (ms * 1000) / ENDPOINTS),
    ),
  ]
  return Promise.resolve({ name: 'datapath', title: 'The datapath itself', lines })
}

type MapSize = { readonly name: string; readonly bytes: number }

function mapSizes({ maps }: Datapath): MapSize[] {
  return Object.values(maps as Record<string, KernelMap>).map(({ name, fd }) => {
    const memory = /^memlock:\s*(\d+)$/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]
    return { name, bytes: Number(memory) }
  })
}

const mapsText = (maps: readonly MapSize[]): string =>
  maps
    .toSorted((a, b) => b.bytes - a.bytes)
    .map(({ name, bytes }) => `${name} ${(bytes / 1e6).toFixed(2)} MB`)
    .join(', ')

function makePolicyMap(datapath: Datapath): void {
  datapath.createPolicyMap(policyElements(datapath, POLICY_ENTRIES)).close()
}

/** Replaces a policy by an equal one. @returns milliseconds until the kernel's call returns, after a grace period */
function swapPolicyMap(datapath: Datapath): number {
  using policy = datapath.createPolicyMap(policyElements(datapath, POLICY_ENTRIES))
  const before = performance.now()
  datapath.maps.policy_maps.set(POLICY, policy)
  return performance.now() - before
}

function endpoint(index: number) {
  const address = ip(`10.244.${1 + (index >> 8)}.${index & 255}`)
  return [
    toAddress(address),
    { ifindex: 1, id: 10 + index, identity: 300, policy: 1, mac: new Uint8Array(6), flags: 0 },
  ] as const
}

function writeEndpoint({ maps }: Datapath): void {
  maps.endpoints.set(...endpoint(0))
}

function writeEndpoints({ maps }: Datapath): void {
  maps.endpoints.updateBatch(Array.from({ length: ENDPOINTS }, (_, i) => endpoint(i)))
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

/** Milliseconds of each run after one that warms up. */
function repeat(action: () => void): number[] {
  return Array.from({ length: REPEATS + 1 }, () => {
    const before = performance.now()
    action()
    return performance.now() - before
  }).slice(1)
}
