// What a proxy may be told at its start.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { proxyConfiguration } from './configuration.ts'

const NEEDED = { bpf: '/bpf', cgroup: '/cgroup', socket: '/run/proxy.sock' }

describe('the options of a proxy', () => {
  it('are as usual unless they are given', () => {
    const { state, dns, agent } = proxyConfiguration(NEEDED)
    assert.deepEqual([state, dns, agent], ['/run', { rejectWith: 'refused', teachWaitMs: 1000 }, undefined])
    const given = proxyConfiguration({ ...NEEDED, dnsReject: 'nameError', dnsWait: '0' })
    assert.deepEqual(given.dns, { rejectWith: 'nameError', teachWaitMs: 0 })
  })

  it('have a body for denials, of a bounded length', () => {
    assert.equal(proxyConfiguration(NEEDED).deniedBody, 'Access denied\r\n')
    assert.equal(proxyConfiguration({ ...NEEDED, deniedBody: 'ask the "shop" team' }).deniedBody, 'ask the "shop" team')
    assert.throws(
      () => proxyConfiguration({ ...NEEDED, deniedBody: 'é'.repeat(5_000) }),
      /--denied-body has 10000 bytes/,
    )
  })

  for (const wrong of [
    { dnsReject: 'drop' },
    { httpEvents: 'none' },
    { httpHeaders: 'x-a, x%b' },
    { httpHeaders: Array.from({ length: 17 }, (_, i) => `x-${i}`).join() },
    { dnsWait: '5000' },
    { dnsWait: 'long' },
    { state: '/x'.repeat(60) },
  ])
    it(`are refused by name: ${Object.keys(wrong).join()} ${Object.values(wrong).join().slice(0, 8)}`, () => {
      const option = Object.keys(wrong)[0]?.replace(/[A-Z]/, letter => `-${letter.toLowerCase()}`)
      assert.throws(() => proxyConfiguration({ ...NEEDED, ...wrong }), { message: new RegExp(`^--${option} `) })
    })
})
