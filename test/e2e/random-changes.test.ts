// Datagrams between all pods from sockets that stay open while random policies follow
// one another: after every change each of them crosses exactly where `policy reach`
// says so. Another seed for every run; AXONEME_SEED repeats one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { FlowLog, isDropped } from './flows.ts'
import { clusterManifests, POD_KEYS, policySet } from './random-policies.ts'
import { SocketHost, type TestSocket } from './sockets.ts'
import { NEEDS_ROOT, startCluster, until } from './support.ts'
import { computedTable, type Family } from './tables.ts'

const CHANGES = 25
const PORTS = [80, 81] as const
const FAMILIES: readonly Family[] = [4, 6]
const seed = Number(process.env['AXONEME_SEED'] ?? Math.floor(Math.random() * 2 ** 31)) | 0

/** One socket of a pod, connected to the echo server of another. */
type Open = { readonly name: string; readonly family: Family; readonly socket: TestSocket }

test(`${CHANGES} random changes under open sockets, seed ${seed}`, { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-changes')
  await cluster.enforce('cluster', ...clusterManifests())
  await cluster.untilReady(...POD_KEYS)
  const flows = await FlowLog.follow(t, cluster)
  const open: Open[] = []
  for (const from of POD_KEYS) {
    const host = await SocketHost.inPod(t, cluster, from)
    for (const to of POD_KEYS.filter(key => key !== from))
      for (const address of (await cluster.pod(to))?.addresses ?? [])
        for (const port of PORTS) {
          const family = address.includes(':') ? 6 : 4
          open.push({ name: `${from} ${to} ${port}/UDP`, family, socket: await host.connect('UDP', address, port) })
        }
  }

  const sets = fc.sample(policySet, { numRuns: CHANGES, seed })
  let crossed = 0
  for (const [round, policies] of sets.entries())
    await t.test(`change ${round}`, async () => {
      await cluster.enforce('policies', ...policies)
      const asked = PORTS.map(port => `${port}/UDP`).join()
      const allowed = new Map(
        FAMILIES.map(family => [
          family,
          new Set(
            computedTable(cluster, asked, family)
              .filter(({ verdict }) => verdict === 'allowed')
              .map(({ from, to, port }) => `${from} ${to} ${port}/UDP`),
          ),
        ]),
      )
      const sinceMs = Date.now()
      const word = `<${round}>`
      for (const { socket } of open) socket.send(word)
      for (const { name, family, socket } of open) {
        const what = `change ${round} of seed ${seed}: ${name}, family ${family}`
        if (allowed.get(family)?.has(name)) {
          await until(`${what} to cross`, () => socket.heard.includes(word))
          crossed++
        } else {
          await flows.next(
            `${what} to be dropped`,
            flow => isDropped(flow) && flow.source.port === socket.port,
            sinceMs,
          )
          assert.ok(!socket.heard.includes(word), what)
        }
      }
    })
  const share = crossed / (open.length * CHANGES)
  t.diagnostic(`seed ${seed}: ${open.length} sockets, ${share.toFixed(2)} of all datagrams crossed`)
  assert.ok(share > 0.05 && share < 0.95, 'policies that deny nothing or everything prove little')
})
