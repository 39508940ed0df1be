// Connections through a proxy between real processes: every end, both families, both
// directions of policy, and what must not go through one.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { DropReason, FlowEvent } from '../../src/maps/index.ts'
import { SYN } from './frames.ts'
import { needsRoot } from './node.ts'
import { ProxyPods, type Rule } from './proxy-pods.ts'
import { FRONTEND, NODE, PLACES, POD_PORT, SERVICE_NUMBER } from './service-pods.ts'
import type { Name, SocketProcess, TestSocket } from './socket-calls.ts'

let proxied: ProxyPods
before(async () => {
  if (!needsRoot) proxied = await ProxyPods.start()
})
after(() => proxied?.[Symbol.asyncDispose]())

const OPEN_IN: Rule = { direction: 'ingress', rule: 1 }
const OPEN_OUT: Rule = { direction: 'egress', rule: 2 }
const http = (direction: Rule['direction'], rules: number): Rule => ({
  direction,
  rule: 10 + rules,
  protocol: 6,
  precedence: 1,
  l7: { proxy: 'HTTP', rules },
})
const dns = (direction: Rule['direction'], rules: number): Rule => ({
  ...http(direction, rules),
  protocol: 17,
  l7: { proxy: 'DNS', rules },
})
const https = (direction: Rule['direction'], rules: number): Rule => ({
  ...http(direction, rules),
  l7: { proxy: 'HTTPS', rules },
})
const egress = (rules: number) => [OPEN_IN, OPEN_OUT, http('egress', rules), dns('egress', rules)]
const ingress = (rules: number) => [OPEN_IN, OPEN_OUT, http('ingress', rules), dns('ingress', rules)]
const ID = { a: 1110, b: 1111, outside: { 4: 9, 6: 10 } } as const

async function connected(process: SocketProcess, family: 4 | 6, to: Name): Promise<TestSocket> {
  const socket = await process.open('TCP', family)
  assert.equal(await socket.connect(to), 'ok')
  return socket
}

/** A connection of the test before may have lost packets, too: it is not known any more. */
function assertDropped(reason: DropReason): void {
  const drops = proxied.drops()
  assert.ok(drops.includes(reason), `${reason} is among ${drops.join()}`)
}

for (const family of [4, 6] as const) {
  const about = (name: string) => `${name}, IPv${family}`
  const b = { address: PLACES.b[family], port: POD_PORT }
  const outsideId = ID.outside[family]

  for (const { name, policies, want } of [
    { name: 'egress rules', policies: { a: egress(3) }, want: `[3/0 ${ID.a}>${ID.b} 13,1] pod b` },
    { name: 'ingress rules', policies: { b: ingress(4) }, want: `[0/4 ${ID.a}>${ID.b} 2,14] pod b` },
    { name: 'rules of both', policies: { a: egress(3), b: ingress(4) }, want: `[3/4 ${ID.a}>${ID.b} 13,14] pod b` },
  ])
    test(about(`pod to pod, ${name}`), { skip: needsRoot }, async () => {
      await proxied.startRelay()
      proxied.reset(policies)
      const socket = await connected(proxied.pods.process('a'), family, b)
      assert.equal(await socket.ask(), want)
      assert.equal(await socket.ask(), want)
      const { verdict, eventKind } = proxied.pods.node.datapath.schema
      // Connections of the test before may still say their last words.
      const opened = (event: FlowEvent) => event.kind === eventKind.number.NEW && event.tcp_flags === SYN
      const told = proxied.pods.events().filter(opened)
      assert.deepEqual(
        told.map(event => [verdict.text(event.verdict), event.proxy, event.is_reply]),
        [['REDIRECTED', 1, 0]],
        'one connection to whoever looks on',
      )
      await socket.close()
    })

  for (const { name, policies, want } of [
    {
      name: 'egress rules',
      policies: { a: [OPEN_IN, https('egress', 3)] },
      want: `slot 31 [3/0 ${ID.a}>${ID.b} 13,1]`,
    },
    {
      name: 'one context for both ends',
      policies: { a: [OPEN_IN, https('egress', 3)], b: [https('ingress', 4)] },
      want: `slot 31 [3/4 ${ID.a}>${ID.b} 13,14]`,
    },
    {
      name: 'another slot',
      policies: { b: [https('ingress', 5)] },
      want: `slot 0 [0/5 ${ID.a}>${ID.b} 2,15]`,
    },
  ])
    test(about(`TLS context, ${name}`), { skip: needsRoot }, async () => {
      await proxied.startRelay()
      proxied.reset(policies)
      proxied.setTlsContexts({ 3: 31, 4: 31, 5: 0 })
      const socket = await connected(proxied.pods.process('a'), family, b)
      assert.equal(await socket.ask(), `${want} pod b`)
      proxied.setTlsContexts({ 3: 0 })
      assert.equal(await socket.ask(), `${want} pod b`, 'whoever has it keeps it')
      await socket.close()
    })

  test(about('TLS context of who comes from outside; other contexts, or none, refuse'), {
    skip: needsRoot,
  }, async () => {
    await proxied.startRelay()
    proxied.reset({ a: [OPEN_IN, https('egress', 3)], b: [https('ingress', 4)] })
    proxied.setTlsContexts({ 3: 0, 4: 31 })
    const socket = await connected(proxied.outside, family, b)
    assert.equal(await socket.ask(), `slot 31 [0/4 ${outsideId}>${ID.b} 0,14] pod b`)
    await socket.close()
    proxied.drops()
    const inside = await proxied.pods.process('a').open('TCP', family)
    assert.equal(await inside.connect(b), 'ECONNREFUSED')
    assertDropped('PROXY_CONFLICT')
    await inside.close()
    proxied.setTlsContexts({ 3: 31 })
    const outside = await proxied.outside.open('TCP', family)
    assert.equal(await outside.connect(b), 'ECONNREFUSED')
    assertDropped('SOCKET_LOOKUP_FAILED')
    await outside.close()
  })

  test(about('both legs with the same ports'), { skip: needsRoot }, async () => {
    await proxied.startRelay()
    proxied.reset({ a: egress(3), b: ingress(4) })
    const socket = await connected(proxied.pods.process('a'), family, b)
    assert.equal(await socket.send('same'), 'ok')
    assert.equal(await socket.receive(), `[3/4 ${ID.a}>${ID.b} 13,14] pod b: same`)
    await socket.close()
  })

  for (const { name, byPacket, policies, want } of [
    { name: 'by the packet', byPacket: true, policies: { a: egress(3) }, want: '[3/0 ids 13,1 service]' },
    { name: 'in the socket', byPacket: false, policies: { a: egress(3) }, want: '[3/0 ids 13,1 service]' },
    { name: 'in the socket', byPacket: false, policies: { b: ingress(4) }, want: '[0/4 ids 2,14 service]' },
  ] as const)
    test(about(`through a service ${name}, ${Object.keys(policies)[0]}'s rules`), { skip: needsRoot }, async () => {
      await proxied.startRelay()
      proxied.reset(policies, { byPacket })
      proxied.pods.setService('TCP', family, 80, ['b'])
      const socket = await connected(proxied.pods.process('a'), family, { address: FRONTEND[family], port: 80 })
      const judged = want.replace('ids', `${ID.a}>${ID.b}`).replace('service', `service ${SERVICE_NUMBER}`)
      assert.equal(await socket.ask(), `${judged} pod b`)
      assert.equal(await socket.send('same'), 'ok')
      assert.equal(await socket.receive(), `${judged} pod b: same`)
      proxied.setPolicies({ ...policies })
      assert.equal(await socket.ask(), `${judged} pod b`, 'judged again')
      await socket.close()
    })

  for (const { name, address, want } of [
    { name: 'a process of the node', address: NODE[family], want: `[3/0 ${ID.a}>${outsideId} 13,0] node` },
    { name: 'somebody outside', address: PLACES.outside[family], want: `[3/0 ${ID.a}>${outsideId} 13,0] outside` },
  ])
    test(about(`pod to ${name}`), { skip: needsRoot }, async () => {
      await proxied.startRelay()
      proxied.reset({ a: egress(3) })
      const socket = await connected(proxied.pods.process('a'), family, { address, port: POD_PORT })
      assert.equal(await socket.ask(), want)
      await socket.close()
      const datagrams = await proxied.pods.process('a').open('UDP', family)
      assert.equal(
        await datagrams.ask({ address, port: POD_PORT }),
        `[relayed] ${want.split(' ').at(-1)} from ${address} ${POD_PORT}`,
      )
      await datagrams.close()
    })

  test(about('outside to a pod with ingress rules'), { skip: needsRoot }, async () => {
    await proxied.startRelay()
    proxied.reset({ b: ingress(4) })
    const socket = await connected(proxied.outside, family, b)
    assert.equal(await socket.ask(), `[0/4 ${outsideId}>${ID.b} 0,14] pod b`)
    await socket.close()
    const datagrams = await proxied.outside.open('UDP', family)
    assert.equal(await datagrams.ask(b), `[relayed] pod b from ${b.address} ${POD_PORT}`)
    await datagrams.close()
  })

  test(about('outside to a pod by a port of the node'), { skip: needsRoot }, async () => {
    await proxied.startRelay()
    proxied.reset({ b: ingress(4) })
    const port = { address: NODE[family], port: 30_080 }
    proxied.openNodePort(family, port.port)
    const socket = await connected(proxied.outside, family, port)
    assert.equal(await socket.ask(), `[0/4 ${outsideId}>${ID.b} 0,14 service ${SERVICE_NUMBER}] pod b`)
    await socket.close()
    const datagrams = await proxied.outside.open('UDP', family)
    assert.equal(await datagrams.ask(port), `[relayed] pod b from ${port.address} ${port.port}`)
    await datagrams.close()
  })

  test(about('the node itself is judged by nobody'), { skip: needsRoot }, async () => {
    await proxied.startRelay()
    proxied.reset({ b: ingress(4), a: egress(3) })
    const socket = await connected(proxied.host, family, b)
    assert.equal(await socket.ask(), 'pod b')
    await socket.close()
  })

  test(about('datagrams of pods to pods'), { skip: needsRoot }, async () => {
    await proxied.startRelay()
    proxied.reset({ a: egress(3), b: ingress(4) })
    const socket = await proxied.pods.process('a').open('UDP', family)
    for (let times = 0; times < 3; times++)
      assert.equal(await socket.ask(b), `[relayed] pod b from ${b.address} ${POD_PORT}`)
    await socket.close()
  })

  for (const name of ['b', 'outside'] as const)
    test(about(`an error about what a proxy sent reaches its socket, from ${name}`), { skip: needsRoot }, async () => {
      await proxied.startRelay()
      proxied.reset({ a: egress(3) })
      const socket = await proxied.pods.process('a').open('UDP', family)
      const nobody = { address: PLACES[name][family], port: 9 }
      assert.equal(await socket.ask(nobody), `[refused] from ${nobody.address} 9`)
      await socket.close()
    })

  test(about('an answer that is too late reaches nobody'), { skip: needsRoot }, async () => {
    await proxied.startRelay()
    proxied.reset({ a: egress(3) })
    const socket = await proxied.pods.process('a').open('UDP', family)
    assert.equal(await socket.send('late', b), 'ok')
    assert.equal(await socket.ask(b), `[relayed] pod b from ${b.address} ${POD_PORT}`)
    assertDropped('SOCKET_LOOKUP_FAILED')
    await socket.close()
  })

  test(about('a change of rules holds from the next request on'), { skip: needsRoot }, async () => {
    await proxied.startRelay()
    proxied.reset({ a: egress(3) })
    const socket = await connected(proxied.pods.process('a'), family, b)
    assert.equal(await socket.ask(), `[3/0 ${ID.a}>${ID.b} 13,1] pod b`)
    proxied.setPolicies({ a: egress(5) })
    assert.equal(await socket.ask(), `[5/0 ${ID.a}>${ID.b} 15,1] pod b`)
    proxied.setPolicies({})
    assert.equal(await socket.ask(), `[0/0 ${ID.a}>${ID.b} 2,1] pod b`, 'the proxy keeps it')
    await socket.close()
  })

  test(about('entries that a full map has lost are made again, whoever speaks first'), {
    skip: needsRoot,
  }, async () => {
    await proxied.startRelay()
    proxied.reset({ a: egress(3), b: ingress(4) })
    const socket = await connected(proxied.pods.process('a'), family, b)
    const judged = `[3/4 ${ID.a}>${ID.b} 13,14]`
    assert.equal(await socket.ask(), `${judged} pod b`)
    for (const leg of ['TO_PROXY', 'FROM_PROXY'] as const) {
      proxied.forget(leg)
      assert.equal(await socket.ask(), `${judged} pod b`, `without ${leg}`)
    }
    proxied.forget('FROM_PROXY')
    proxied.pods.server('b').speakAgain()
    assert.equal(await socket.receive(), `${judged} pod b again`, 'the server first')
    assert.equal(await socket.ask(), `${judged} pod b`)
    proxied.forget('TO_PROXY')
    proxied.pods.server('b').speakAgain()
    const answer = await socket.receive()
    // The opener may have acknowledged the answer before only now, and so made it known again.
    assert.ok(['[unknown] pod b again', `${judged} pod b again`].includes(answer), answer)
    assert.equal(await socket.ask(), `${judged} pod b`)
    await socket.close()
  })

  test(about('what is lost and by now denied stays lost'), { skip: needsRoot }, async () => {
    await proxied.startRelay()
    proxied.reset({ a: egress(3) })
    const socket = await connected(proxied.pods.process('a'), family, b)
    assert.equal(await socket.ask(), `[3/0 ${ID.a}>${ID.b} 13,1] pod b`)
    proxied.setPolicies({ a: [OPEN_IN] })
    for (const leg of ['TO_PROXY', 'FROM_PROXY'] as const) proxied.forget(leg)
    proxied.drops()
    assert.equal(await socket.send('hello'), 'ok')
    proxied.pods.server('b').speakAgain()
    let isDenied = false
    for (let tries = 0; tries < 500 && !isDenied; tries++) {
      await delay(10)
      isDenied = proxied.drops().includes('POLICY_DENIED')
    }
    assert.ok(isDenied, 'what is said meanwhile is dropped')
    proxied.setPolicies({ a: egress(5) })
    const heard = await socket.receive()
    assert.match(heard, /^\[(unknown|5\/0 .*)\] pod b/, 'said again when it may')
    await socket.close()
  })

  test(about('a denial cuts an open connection'), { skip: needsRoot }, async () => {
    await proxied.startRelay()
    proxied.reset({ a: egress(3) })
    const socket = await connected(proxied.pods.process('a'), family, b)
    assert.equal(await socket.ask(), `[3/0 ${ID.a}>${ID.b} 13,1] pod b`)
    proxied.setPolicies({ a: [OPEN_IN] })
    proxied.drops()
    assert.equal(await socket.send('hello'), 'ok')
    const again = await proxied.pods.process('a').open('UDP', family)
    assert.equal(await again.send('hello', b), 'ok')
    assertDropped('POLICY_DENIED')
    proxied.setPolicies({ a: egress(3) })
    assert.equal(await socket.receive(), `[3/0 ${ID.a}>${ID.b} 13,1] pod b: hello`, 'said again when it may')
    await socket.close()
    await again.close()
  })

  test(about('a connection that was direct is reset, and may be opened again'), { skip: needsRoot }, async () => {
    await proxied.startRelay()
    proxied.reset({})
    const socket = await connected(proxied.pods.process('a'), family, b)
    assert.equal(await socket.ask(), 'pod b')
    proxied.setPolicies({ a: egress(3) })
    assert.equal(await socket.send('hello'), 'ok')
    assert.equal(await socket.receive(), 'ECONNRESET')
    assertDropped('PROXY_MIDSTREAM')
    await socket.close()
    const next = await connected(proxied.pods.process('a'), family, b)
    assert.equal(await next.ask(), `[3/0 ${ID.a}>${ID.b} 13,1] pod b`)
    await next.close()
  })

  // It would take a minute, and more.
  const bounded = { skip: needsRoot, timeout: 30_000 }
  test(about('a port is used again while the proxy still waits out the end of its connection'), bounded, async () => {
    await proxied.startRelay()
    proxied.reset({ a: egress(3) })
    const own = { address: PLACES.a[family], port: 33_000 }
    for (let times = 0; times < 3; times++) {
      const socket = await proxied.pods.process('a').open('TCP', family)
      assert.equal(await socket.bind(own), 'ok')
      assert.equal(await socket.connect(b), 'ok')
      assert.equal(await socket.send('close'), 'ok')
      assert.equal(await socket.receive(), '')
      await socket.close()
    }
  })

  test(about('a port is used again, and what it is opened to by then counts'), bounded, async () => {
    await proxied.startRelay()
    proxied.reset({ a: egress(3) })
    proxied.pods.setService('TCP', family, 80, ['b'])
    const own = { address: PLACES.a[family], port: 33_001 }
    const open = async (to: Name) => {
      const socket = await proxied.pods.process('a').open('TCP', family)
      assert.equal(await socket.bind(own), 'ok')
      assert.equal(await socket.connect(to), 'ok')
      return socket
    }
    const closed = await open({ address: FRONTEND[family], port: 80 })
    assert.equal(await closed.send('close'), 'ok')
    assert.equal(await closed.receive(), '')
    await closed.close()
    const direct = await open(b)
    assert.equal(await direct.ask(), `[3/0 ${ID.a}>${ID.b} 13,1] pod b`)
    await direct.close()
  })

  test(about('without a proxy nothing passes'), { skip: needsRoot }, async () => {
    await proxied.stopRelay()
    proxied.reset({ a: egress(3), b: ingress(4) })
    for (const name of ['a', 'outside'] as const) {
      const socket = await (name === 'outside' ? proxied.outside : proxied.pods.process(name)).open('TCP', family)
      assert.equal(await socket.connect(b), 'ECONNREFUSED', name)
      await socket.close()
      assertDropped('SOCKET_LOOKUP_FAILED')
    }
  })

  test(about('a client outside is refused, and reset, by the port of the node that it asked for'), {
    skip: needsRoot,
  }, async () => {
    await proxied.stopRelay()
    proxied.reset({})
    const port = { address: NODE[family], port: 30_080 }
    proxied.openNodePort(family, port.port)
    const open = await connected(proxied.outside, family, port)
    assert.equal(await open.ask(), 'pod b')
    proxied.setPolicies({ b: ingress(4) })
    assert.equal(await open.send('hello'), 'ok')
    assert.equal(await open.receive(), 'ECONNRESET')
    await open.close()
    const socket = await proxied.outside.open('TCP', family)
    assert.equal(await socket.connect(port), 'ECONNREFUSED')
    await socket.close()
  })

  test(about('without a proxy nothing passes through a service either, and the client is told'), {
    skip: needsRoot,
  }, async () => {
    await proxied.stopRelay()
    proxied.reset({}, { byPacket: true })
    proxied.pods.setService('TCP', family, 80, ['b'])
    const frontend = { address: FRONTEND[family], port: 80 }
    const open = await connected(proxied.pods.process('a'), family, frontend)
    assert.equal(await open.ask(), 'pod b')
    proxied.setPolicies({ a: egress(3) })
    assert.equal(await open.send('hello'), 'ok')
    assert.equal(await open.receive(), 'ECONNRESET')
    await open.close()
    const socket = await proxied.pods.process('a').open('TCP', family)
    assert.equal(await socket.connect(frontend), 'ECONNREFUSED')
    await socket.close()
  })
}
