// What many services cost an agent, in a process of its own so that memory is told apart:
// node --expose-gc service-program.ts SERVICES ENDPOINTS CHANGES. Prints one line of JSON.

import { ProgrammedServices, serviceRow, sliceRow } from '../testbed/programmed-services.ts'

const [count = 30_000, endpoints = 4, changes = 100] = process.argv.slice(2).map(Number)

/** Bytes: of objects that are in use, and of the process. */
function memory(): { readonly heap: number; readonly rss: number } {
  globalThis.gc?.()
  const { heapUsed, rss } = process.memoryUsage()
  return { heap: heapUsed, rss }
}

async function timed(action: () => Promise<void>): Promise<number> {
  const before = performance.now()
  await action()
  return performance.now() - before
}

const all = Array.from({ length: count }, (_, i) => i)
const before = memory()
await using first = new ProgrammedServices()
const mapsBefore = first.memoryBytes()
const programMs = await timed(() =>
  first.declare(
    all.map(serviceRow),
    all.map(i => sliceRow(i, endpoints)),
  ),
)
await first.settled()
const after = memory()

const addMs: number[] = []
for (let i = 0; i < changes; i++)
  addMs.push(await timed(() => first.declare([serviceRow(count + i)], [sliceRow(count + i, endpoints)])))
const changeMs: number[] = []
for (let i = 0; i < changes; i++)
  changeMs.push(await timed(() => first.declare([], [sliceRow((i * 37) % count, endpoints, i + 1)])))
const compareMs = await timed(() => first.compare())
const mapBytes = first.memoryBytes() - mapsBefore

await first.stop()
const second = new ProgrammedServices(first.datapath)
const restartMs = await timed(() => second.declare(first.tables.services.all(), first.tables.endpointSlices.all()))
await second.stop()

console.log(
  JSON.stringify({
    services: count,
    endpoints,
    programMs,
    addMs: median(addMs),
    slowestAddMs: Math.max(...addMs),
    changeMs: median(changeMs),
    slowestChangeMs: Math.max(...changeMs),
    compareMs,
    restartMs,
    heapBytes: after.heap - before.heap,
    rssBytes: after.rss,
    mapBytes,
  }),
)

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}
