// Datagrams between all pods from sockets that stay open while random policies, and
// labels of pods, follow one another. After every change each of them crosses exactly
// where `policy reach` says so; and while the change is under way, what both states
// deny never crosses, and of what both allow nothing is dropped, except to and from the
// pod that changes its labels together with the policies. Another seed for every run;
// AXONEME_SEED repeats one.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import * as fc from 'fast-check'
import type { Flow } from '../../src/observe/index.ts'
import { FlowLog, isDropped } from './flows.ts'
import { clusterManifests, POD_KEYS, podLabels, policySet } from './random-policies.ts'
import { SocketHost, type TestSocket } from './sockets.ts'
import { NEEDS_ROOT, startCluster, type TestCluster, until } from './support.ts'
import { computedTable, type Family } from './tables.ts'

const CHANGES = 25
const PORTS = [80, 81] as const
const FAMILIES: readonly Family[] = [4, 6]
/** Between two datagrams of a socket while a change is under way. */
const PAUSE_MS = 2
const REPEAT_MS = 500
const seed = Number(process.env['AXONEME_SEED'] ?? Math.floor(Math.random() * 2 ** 31)) | 0

/** One socket of a pod, connected to the echo server of another. */
type Open = { readonly from: string; readonly to: string; readonly cell: string; readonly socket: TestSocket }

const state = fc.record({ policies: policySet, pod: fc.constantFrom(...POD_KEYS), labels: podLabels })

test(`${CHANGES} random changes under open sockets, seed ${seed}`, { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-changes')
  await cluster.enforce('cluster', ...clusterManifests())
  await cluster.untilReady(...POD_KEYS)
  const flows = await FlowLog.follow(t, cluster)
  const open = await openSockets(t, cluster)

  const states = fc.sample(state, { numRuns: CHANGES, seed })
  let now: ReadonlySet<string> = new Set(open.map(({ cell }) => cell))
  let crossed = 0
  let moving = ''
  for (const [round, { policies, pod, labels }] of states.entries())
    await t.test(`change ${round}`, async () => {
      // Every other time the pod gets its own labels back, so that no two pods change theirs at one moment.
      const relabelled = round % 2 === 0 ? { [pod]: labels } : {}
      if (round % 2 === 0) moving = pod
      const startMs = Date.now()
      const changing = cluster.enforce('cluster', ...clusterManifests(relabelled), ...policies)
      const words = await speakUntil(open, changing, round)
      const before = now
      now = allowedCells(cluster)
      const last = `<${round}.last>`
      const sinceMs = Date.now()
      for (const { socket } of open) socket.send(last)
      for (const one of open) {
        const { from, to, cell, socket } = one
        const what = `change ${round} of seed ${seed}: ${cell}`
        if (now.has(cell)) {
          await untilCrossed(what, socket, last)
          requireUndropped(`${what}, once the change is in force`, one, flows, sinceMs)
          crossed++
          if (before.has(cell) && from !== moving && to !== moving)
            requireUndropped(`${what}, all the while`, one, flows, startMs)
        } else {
          const isDropOfIt = (flow: Flow) => isDropped(flow) && isEnd(one, flow.source)
          await flows.next(`${what} to be dropped`, isDropOfIt, sinceMs)
          assert.ok(!socket.heard.includes(last), what)
          if (!before.has(cell)) assert.ok(!words.some(word => socket.heard.includes(word)), `${what}, on the way`)
        }
      }
    })
  const share = crossed / (open.length * CHANGES)
  t.diagnostic(`seed ${seed}: ${open.length} sockets, ${share.toFixed(2)} of the last datagrams crossed`)
  assert.ok(share > 0.05 && share < 0.95, 'policies that deny nothing or everything prove little')
})

async function openSockets(t: TestContext, cluster: TestCluster): Promise<Open[]> {
  const open: Open[] = []
  for (const from of POD_KEYS) {
    const host = await SocketHost.inPod(t, cluster, from)
    for (const to of POD_KEYS.filter(key => key !== from))
      for (const address of (await cluster.pod(to))?.addresses ?? [])
        for (const port of PORTS) {
          const family = address.includes(':') ? 6 : 4
          const socket = await host.connect('UDP', address, port)
          open.push({ from, to, cell: `${from} ${to} ${port} IPv${family}`, socket })
        }
  }
  return open
}

/** Every socket speaks while the change is under way. @returns the words */
async function speakUntil(open: readonly Open[], changing: Promise<void>, round: number): Promise<string[]> {
  const words: string[] = []
  let isOver = false
  const over = changing.finally(() => {
    isOver = true
  })
  const speak = async (): Promise<void> => {
    const word = `<${round}.${words.length}>`
    words.push(word)
    for (const { socket } of open) socket.send(word)
    await sleep(PAUSE_MS)
    if (!isOver) await speak()
  }
  await Promise.all([over, speak()])
  return words
}

/** Says it again now and then: a full buffer of the other end's socket may have lost it, which is no verdict. */
async function untilCrossed(what: string, socket: TestSocket, word: string): Promise<void> {
  let saidMs = Date.now()
  await until(`${what} to cross`, () => {
    if (socket.heard.includes(word)) return true
    if (Date.now() - saidMs > REPEAT_MS) {
      socket.send(word)
      saidMs = Date.now()
    }
    return false
  })
}

/** @throws AssertionError when a datagram of the socket, or an answer to it, was dropped since then */
function requireUndropped(what: string, one: Open, { flows }: FlowLog, sinceMs: number): void {
  const drops = flows.filter(
    flow =>
      isDropped(flow) && (isEnd(one, flow.source) || isEnd(one, flow.destination)) && Date.parse(flow.time) >= sinceMs,
  )
  assert.deepEqual(drops, [], what)
}

/** Sockets of several pods may have the same port. */
const isEnd = ({ from, socket }: Open, { pod, port }: Flow['source']): boolean =>
  port === socket.port && `${pod?.namespace}/${pod?.name}` === from

function allowedCells(cluster: TestCluster): Set<string> {
  const asked = PORTS.map(port => `${port}/UDP`).join()
  return new Set(
    FAMILIES.flatMap(family =>
      computedTable(cluster, asked, family)
        .filter(({ verdict }) => verdict === 'allowed')
        .map(({ from, to, port }) => `${from} ${to} ${port} IPv${family}`),
    ),
  )
}
