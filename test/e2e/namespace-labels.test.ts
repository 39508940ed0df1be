// A namespace gets another label, over and over, while its pods talk: what both states
// allow never misses a datagram, what both deny never gets one through, and what one
// allows and the other denies changes once. Between two of its pods, of which each meets
// the other under its old or its new labels, and towards a pod that stays what it is.
// (test/scenarios/transitions.test.ts looks between any two writes; here time decides.)

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { podManifest } from '../sandbox/support.ts'
import { FlowLog, isDropped } from './flows.ts'
import { networkPolicy } from './policies.ts'
import { SocketHost, type TestSocket } from './sockets.ts'
import { NEEDS_ROOT, namespaceManifest, startCluster, until } from './support.ts'

const CHANGES = 16
const PAUSE_MS = 1
const TEAMS = ['north', 'south'] as const
type Team = (typeof TEAMS)[number]

const [OWN_TEAM, NOT_OWN_TEAM, FROM_NORTH, FROM_SOUTH] = [7001, 7002, 7003, 7004] as const
const WAYS = [
  { to: 'moving/b', port: OWN_TEAM, isOpen: () => true },
  { to: 'moving/b', port: NOT_OWN_TEAM, isOpen: () => false },
  { to: 'still/c', port: FROM_NORTH, isOpen: (team: Team) => team === 'north' },
  { to: 'still/c', port: FROM_SOUTH, isOpen: (team: Team) => team === 'south' },
] as const

const ofTeam = (team: Team) => ({ matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': team } })
const toPort = (port: number) => ({ toPorts: [{ ports: [{ port: String(port), protocol: 'UDP' }] }] })

/** A team lets its own in by one port, and everybody but its own by another. */
const teamPolicy = (team: Team) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { namespace: 'moving', name: team },
  spec: {
    endpointSelector: ofTeam(team),
    ingress: [
      { fromEndpoints: [ofTeam(team)], ...toPort(OWN_TEAM) },
      { fromEntities: ['all'], ...toPort(NOT_OWN_TEAM) },
    ],
    ingressDeny: [{ fromEndpoints: [ofTeam(team)], ...toPort(NOT_OWN_TEAM) }],
  },
})

const fromTeam = (team: Team, port: number) => ({
  from: [{ namespaceSelector: { matchLabels: { team } } }],
  ports: [{ port, protocol: 'UDP' }],
})

type Stream = {
  readonly name: string
  readonly isOpen: (team: Team) => boolean
  readonly client: TestSocket
  readonly server: TestSocket
}

test('a namespace changes its labels while its pods talk', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-labels')
  const setTeam = async (team: Team) => await cluster.enforce('namespace', namespaceManifest('moving', { team }))
  await setTeam('north')
  await cluster.enforce(
    'cluster',
    ...['moving/a', 'moving/b', 'still/c'].map(key => podManifest(key)),
    ...TEAMS.map(teamPolicy),
    networkPolicy('still/c', {
      podSelector: {},
      ingress: [fromTeam('north', FROM_NORTH), fromTeam('south', FROM_SOUTH)],
    }),
  )
  await cluster.untilReady('moving/a', 'moving/b', 'still/c')
  const flows = await FlowLog.follow(t, cluster)
  const a = await SocketHost.inPod(t, cluster, 'moving/a')
  const servers = {
    'moving/b': await SocketHost.inPod(t, cluster, 'moving/b'),
    'still/c': await SocketHost.inPod(t, cluster, 'still/c'),
  }
  const streams: Stream[] = []
  for (const { to, port, isOpen } of WAYS) {
    const server = await servers[to].listen('UDP', port)
    for (const address of (await cluster.pod(to))?.addresses ?? []) {
      const client = await a.connect('UDP', address, port)
      streams.push({ name: `${to} at ${address} port ${port}`, isOpen, client, server })
    }
  }

  let team: Team = 'north'
  let count = 0
  for (let round = 0; round < CHANGES; round++)
    await t.test(`change ${round}`, async () => {
      const next: Team = team === 'north' ? 'south' : 'north'
      const sinceMs = Date.now()
      const words: string[] = []
      const speak = (): void => {
        words.push(`${++count}`)
        for (const [i, { client }] of streams.entries()) client.send(`<${i}.${count}>`)
      }
      const speaking = setInterval(speak, PAUSE_MS)
      speak()
      await setTeam(next).finally(() => clearInterval(speaking))
      speak()
      for (const [i, stream] of streams.entries()) {
        const isHeard = (word: string) => stream.server.heard.includes(`<${i}.${word}>`)
        const [before, after] = [stream.isOpen(team), stream.isOpen(next)]
        const last = words.at(-1) ?? ''
        if (after) await until(`${stream.name}: word ${last}`, () => isHeard(last))
        else
          await flows.next(
            `${stream.name}: a drop`,
            flow => isDropped(flow) && flow.source.port === stream.client.port,
            sinceMs,
          )
        const heard = words.map(isHeard)
        const turns = heard.filter((one, word) => one !== (word === 0 ? before : heard[word - 1])).length
        assert.equal(turns, before === after ? 0 : 1, `${stream.name}, from ${team} to ${next}: ${heard.join(' ')}`)
      }
      team = next
    })
  const unknown = flows.flows
    .flatMap(({ source, destination }) => [source, destination])
    .filter(end => end.labels.length === 0)
  assert.deepEqual(unknown, [], 'no packet has an identity that is not known')
  t.diagnostic(`${count} datagrams on each of ${streams.length} ways`)
})
