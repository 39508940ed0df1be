// A pod that sends what it may not, as fast as it can, makes an event of every packet.
// The agent stays small and does what else it is told; what it cannot read is counted.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { podManifest } from '../sandbox/support.ts'
import { Conversation } from './conversation.ts'
import { FlowLog } from './flows.ts'
import { startLoad } from './load.ts'
import { denyAll, networkPolicy } from './policies.ts'
import { SocketHost } from './sockets.ts'
import { NEEDS_ROOT, startCluster, until } from './support.ts'

const MAX_RSS_BYTES = 350 * 2 ** 20
/** Several times what the agent keeps. */
const MANY_EVENTS = 20_000n
const ROUNDS = 3

test('a flood of denied packets disturbs nobody', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-flood')
  const pods = ['flooder', 'victim', 'client', 'server'].map(name =>
    podManifest(`default/${name}`, { labels: { app: name } }),
  )
  const isolated = networkPolicy('default/victim', { podSelector: { matchLabels: { app: 'victim' } }, ingress: [] })
  await cluster.enforce('pods', ...pods, isolated)
  await cluster.untilReady('default/flooder', 'default/victim', 'default/client', 'default/server')
  const addressOf = async (pod: string) => (await cluster.pod(pod))?.addresses[0] ?? ''
  const hosts = {
    client: await SocketHost.inPod(t, cluster, 'default/client'),
    server: await SocketHost.inPod(t, cluster, 'default/server'),
  }
  const flows = await FlowLog.follow(t, cluster)
  const undisturbed = await Conversation.open(hosts, flows, 'TCP', await addressOf('default/server'), 7000)

  const flood = await startLoad(t, cluster, 'default/flooder', ['flood', await addressOf('default/victim'), '9'])
  assert.equal(await flood.next(), 'flooding')
  const { pid, events } = await cluster.agent.status()
  const read = async () => BigInt((await cluster.agent.status()).events.received) - BigInt(events.received)
  for (let round = 0; round < ROUNDS; round++) {
    // Events of this one may be among those that are lost: a fence has to do where others wait for the drop.
    await cluster.enforce('policy', denyAll('default', ['egress']))
    const word = undisturbed.say('client')
    await cluster.enforce('fence')
    assert.ok(!undisturbed.isHeard(word), 'a policy that came during the flood is not in force')
    await cluster.enforce('policy')
    await until('the word to be heard', () => undisturbed.isHeard(word))
    await undisturbed.arrives('server')
  }
  await until('many events', async () => (await read()) > MANY_EVENTS)
  const status = await cluster.agent.status()
  assert.equal(status.pid, pid)
  assert.ok(status.memoryBytes < MAX_RSS_BYTES, `the agent grew to ${status.memoryBytes} bytes`)

  const { sent } = JSON.parse(await flood.finish()) as { sent: number }
  const drops = (await cluster.agent.drops()).filter(({ reason }) => reason === 'POLICY_DENIED')
  const dropped = drops.reduce((sum, { packets }) => sum + Number(packets), 0)
  assert.ok(dropped >= sent, `${sent} were sent and ${dropped} dropped`)
  await until('every drop to be read or counted as lost', async () => {
    const { received, lost } = (await cluster.agent.status()).events
    return Number(received) + Number(lost) >= dropped
  })
  t.diagnostic(`${sent} packets, ${JSON.stringify((await cluster.agent.status()).events)}`)
})
