// What the node's connection tracking sees of proxied connections, between real
// processes: nothing of pods, as before of others.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { after, before, test } from 'node:test'
import { readSysctl, withNamespace } from '../../src/net/index.ts'
import { leaveUntracked, untrackedRules } from '../../src/reconcilers/index.ts'
import { needsRoot } from '../datapath/node.ts'
import { ProxyPods, type Rule } from '../datapath/proxy-pods.ts'
import { PLACES, POD_PORT } from '../datapath/service-pods.ts'

let proxied: ProxyPods
before(async () => {
  if (needsRoot) return
  proxied = await ProxyPods.start()
  await proxied.startRelay()
})
after(() => proxied?.[Symbol.asyncDispose]())

const namespace = () => proxied.pods.node.namespace
const schema = () => proxied.pods.node.datapath.schema
const tracked = (): number => Number(readSysctl(namespace(), 'net/netfilter/nf_conntrack_count'))

function nft(args: readonly string[], input = ''): string {
  const { status, stdout, stderr } = withNamespace(namespace(), () =>
    spawnSync('nft', args, { input, encoding: 'utf8' }),
  )
  assert.equal(status, 0, stderr)
  return stdout
}

/** Connections are tracked only where a rule asks for their state. */
const TRACKING =
  'table inet others { chain seen { type filter hook prerouting priority 0; ct state invalid counter; }; }'

const egress: readonly Rule[] = [
  { direction: 'ingress', rule: 1 },
  { direction: 'egress', rule: 2 },
  { direction: 'egress', rule: 3, protocol: 6, precedence: 1, l7: { proxy: 'HTTP', rules: 3 } },
]

for (const family of [4, 6] as const)
  test(`connections of pods through a proxy are not tracked; those to others are, IPv${family}`, {
    skip: needsRoot,
  }, async () => {
    nft(['-f', '-'], `table inet axoneme; delete table inet axoneme; ${TRACKING}`)
    proxied.reset({ a: egress })
    const ask = async (address: string): Promise<void> => {
      const socket = await proxied.pods.process('a').open('TCP', family)
      assert.equal(await socket.connect({ address, port: POD_PORT }), 'ok')
      assert.match(await socket.ask(), /^\[3\/0 /)
      await socket.close()
    }
    const before = tracked()
    await ask(PLACES.b[family])
    assert.equal(tracked(), before + 2, 'without the rules: each leg')
    nft(['-f', '-'], untrackedRules(schema(), '{ "a", "b" }'))
    await ask(PLACES.b[family])
    assert.equal(tracked(), before + 2)
    await ask(PLACES.outside[family])
    assert.equal(tracked(), before + 3, 'the leg to outside, which may be translated')
  })

test('the rules are of pods alone, and made once however often that is asked for', { skip: needsRoot }, () => {
  for (let times = 0; times < 2; times++) assert.equal(leaveUntracked(namespace(), schema()), undefined)
  const rules = nft(['list', 'table', 'inet', 'axoneme']).split('\n')
  assert.deepEqual(
    rules.filter(line => line.includes('notrack')).map(line => line.trim()),
    [
      'iifname "axo*" meta mark & 0x00000f00 == 0x00000200 notrack',
      'oifname "axo*" meta mark & 0x00000f00 == { 0x00000a00, 0x00000e00 } notrack',
    ],
  )
})
