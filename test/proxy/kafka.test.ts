// Real clients of Kafka through the proxy's Kafka server: what is allowed works, what is
// denied they are told in the protocol, and the broker never hears of it.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { needsRoot } from '../net/fixture.ts'
import { KafkaBench } from './kafka-proxy.ts'

const CLIENTS = ['kafkajs', 'platformatic'] as const
const ORDERS = 7
const ALL = 8

describe('Kafka clients through the proxy', needsRoot, () => {
  for (const family of [4, 6] as const)
    for (const client of CLIENTS)
      it(`${client} over IPv${family} gets what the rules allow`, async () => {
        await using bench = await KafkaBench.open()
        const requests = await bench.startBroker(family)
        await bench.setRules({ [ORDERS]: [{ topic: 'orders', clientId: 'shop' }], [ALL]: [{}] })
        bench.setFlows(ORDERS, ALL)
        const task = { client, clientId: 'shop', topic: 'orders', text: 'one order' } as const

        assert.deepEqual(await bench.client(family, { ...task, action: 'produce' }), { text: '' })
        assert.deepEqual(await bench.client(family, { ...task, action: 'consume' }), { text: 'one order' })
        for (const action of ['produce', 'consume'] as const) {
          const denied = await bench.client(family, { ...task, action, topic: 'secret' })
          assert.match(denied.error ?? '', /not authorized|authorization failed/i, action)
        }
        const stranger = await bench.client(family, { ...task, action: 'produce', clientId: 'stranger' })
        assert.ok(stranger.error)

        assert.deepEqual(
          requests.filter(({ topics }) => topics?.includes('secret')),
          [],
        )
        const cap = ['produce', 'fetch', 'metadata']
        assert.deepEqual(
          requests.filter(({ api, version }) => cap.includes(api) && version > 12),
          [],
        )
        assert.ok(requests.some(({ api }) => api === 'fetch'))
        assert.ok(requests.every(({ api, version, session }) => api !== 'fetch' || version < 7 || session === -1))
        const produced = bench.events.find(({ content }) => content.parser === 'kafka' && content.apiKey === 0)
        assert.deepEqual(
          [produced?.verdict, produced?.opener.identity, produced?.service, produced?.egress, produced?.ingress],
          ['FORWARDED', 300, 9, { set: ORDERS, policyRule: 5, rule: 0 }, { set: ALL, policyRule: 6, rule: 0 }],
        )
        const secret = bench.events.filter(({ content }) => content.parser === 'kafka' && content.topic === 'secret')
        assert.ok(secret.length > 0)
        assert.ok(secret.every(event => event.verdict === 'DROPPED' && event.deniedBy === 'egress'))
      })

  it('passes records of megabytes, and judges a connection that goes on by new rules', async () => {
    await using bench = await KafkaBench.open()
    const requests = await bench.startBroker(4)
    await bench.setRules({ [ORDERS]: [{ topic: 'orders' }], [ALL]: [{ topic: 'none' }] })
    bench.setFlows(ORDERS, 0)
    const text = 'long'.repeat(750_000)
    const task = { client: 'kafkajs', clientId: 'shop', topic: 'orders', text } as const
    const open = { ...task, action: 'produce', keep: true } as const
    assert.deepEqual(await bench.client(4, open), { text: '' })
    bench.setFlows(ALL, 0)
    assert.match((await bench.client(4, open)).error ?? '', /not authorized|authorization failed/i)
    bench.setFlows(ORDERS, 0)
    assert.deepEqual(await bench.client(4, open), { text: '' })
    assert.deepEqual(await bench.client(4, { ...task, action: 'consume' }), { text })
    const produced = requests.filter(({ api }) => api === 'produce')
    assert.equal(produced.length, 2)
  })

  it('tells a client without a broker so, and goes on', async () => {
    await using bench = await KafkaBench.open()
    await bench.setRules({ [ALL]: [{}] })
    bench.setFlows(ALL, 0)
    const task = { client: 'kafkajs', action: 'produce', clientId: 'shop', topic: 'orders', text: 'one' } as const
    assert.match((await bench.client(4, task)).error ?? '', /closed|reset|ECONNRESET|connection/i)
    assert.match(bench.events[0]?.reason ?? '', /the broker cannot be reached/)
    await bench.startBroker(4)
    assert.deepEqual(await bench.client(4, task), { text: '' })
  })
})
