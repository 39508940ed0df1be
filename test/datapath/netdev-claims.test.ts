// Two CPUs want the one port that there is, whose connection is over, at the same
// moment: one gets it.

import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { between, frameOf, udp } from './cases.ts'
import type { ClaimingData } from './claiming-program.ts'
import { Edge, FAR } from './edge.ts'
import { HOST, needsRoot, OUTSIDE, UPLINK } from './node.ts'

const PROGRAM = path.join(import.meta.dirname, 'claiming-program.ts')
const THREADS = 2
const ROUNDS = 800
const PATIENCE_MS = 10_000

test('two CPUs at once', { skip: needsRoot }, async t => {
  using edge = new Edge({ port_first: 2000, port_count: 1 })
  edge.reset()
  edge.services.set({ frontend: HOST, port: 30080, backends: [{ party: FAR, port: 8080 }], flags: ['OUTSIDE'] }, 4)
  const { translations } = edge.node.datapath.maps
  const shared = new Int32Array(new SharedArrayBuffer(4 * (2 + THREADS)))
  const allDone = (): void => {
    for (let done = Atomics.load(shared, 1); done < THREADS; done = Atomics.load(shared, 1))
      assert.notEqual(Atomics.wait(shared, 1, done, PATIENCE_MS), 'timed-out')
  }
  const started = Array.from({ length: THREADS }, (_, number) => {
    const workerData: ClaimingData = {
      programId: edge.object.program('from_netdev').id,
      namespace: `/proc/${process.pid}/fd/${edge.node.namespace.fd}`,
      ifindex: UPLINK,
      frame: frameOf(udp(between(OUTSIDE, HOST, 10_000 + number, 30080)), 4),
      shared,
      number,
    }
    const worker = new Worker(PROGRAM, { workerData })
    return new Promise<void>((resolve, reject) => worker.once('exit', () => resolve()).once('error', reject))
  })
  t.after(() => Atomics.store(shared, 0, -1))
  while (Atomics.load(shared, 1) < THREADS) await new Promise(resolve => setTimeout(resolve, 5))
  let given = 0
  for (let round = 1; round <= ROUNDS; round++) {
    const over = translations.lookupBatch().map(([key, value]) => [key, { ...value, expires_ns: 1n }] as const)
    translations.updateBatch(over)
    Atomics.store(shared, 1, 0)
    Atomics.store(shared, 0, round)
    allDone()
    const holders = [...shared.subarray(2)].filter(port => port === 2000).length
    assert.ok(holders <= 1, `round ${round}: the port went to both`)
    given += holders
    edge.node.drainEvents()
  }
  Atomics.store(shared, 0, -1)
  await Promise.all(started)
  assert.equal(given, ROUNDS)
})
