// Filters come to a pod's device and go from it under traffic: links take their place
// when the device has been there for a while. No packet is lost by that.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { loadObject, parseObject } from '../../src/bpf/index.ts'
import { allFilters, createLink, type Namespace, setLink, withNamespace, writeSysctls } from '../../src/net/index.ts'
import { clsactAttacher } from '../../src/reconcilers/index.ts'
import { freshNamespace, outputInside } from '../net/fixture.ts'
import { needsRoot } from './node.ts'

const IFINDEX = 50
/** The moment in which packets could be lost is short. */
const TIMES = 300
/** What a node sends to all hosts of the link passes the pod program unjudged. */
const FLOOD = `
  const socket = require('node:dgram').createSocket('udp6').bind(() => {
    socket.setMulticastInterface('::%axo1')
    const send = () => socket.send('.', 9, 'ff02::1%axo1', error => { if (error) throw error; setImmediate(send) })
    send()
    process.stdout.write('sending')
  })`

test('a device whose filters come and go loses no packet', { skip: needsRoot }, async t => {
  const { namespace: node, netlink } = freshNamespace(t)
  writeSysctls(node, { 'net/ipv6/conf/default/accept_dad': 0 })
  const object = loadObject(parseObject(readFileSync(new URL('../../build/pod.o', import.meta.url))))
  t.after(() => object.close())
  const attacher = clsactAttacher({ fromPod: object.program('from_pod'), toPod: object.program('to_pod') }, node)
  t.after(() => attacher.close())
  // As a pod gets its network: the programs first, then the device comes up.
  netlink.run(createLink({ kind: 'veth', name: 'axo1', index: IFINDEX, peer: { name: 'pod' } }))
  attacher.attach(IFINDEX)
  for (const name of ['axo1', 'pod']) netlink.run(setLink({ name }, { up: true }))
  const flood = withNamespace(node, () =>
    spawn(process.execPath, ['-e', FLOOD], { stdio: ['ignore', 'pipe', 'inherit'] }),
  )
  t.after(() => flood.kill())
  await once(flood.stdout, 'data')
  const before = await sent(node)

  for (let i = 0; i < TIMES; i++) {
    attacher.detach(IFINDEX)
    for (const direction of ['ingress', 'egress'] as const)
      assert.deepEqual(netlink.list(allFilters({ index: IFINDEX, direction })), [])
    attacher.attach(IFINDEX)
    await nextTurn()
  }

  const after = await sent(node)
  assert.ok(after.packets > before.packets, 'there was traffic')
  assert.equal(after.dropped, before.dropped)
})

/** What the device was given to send, and lost before it did. */
async function sent(node: Namespace): Promise<{ readonly packets: number; readonly dropped: number }> {
  const text = await outputInside(node, 'cat', ['/proc/net/dev'])
  const line = text.split('\n').find(candidate => candidate.trim().startsWith('axo1:'))
  const fields = line?.trim().split(/\s+/) ?? []
  return { packets: Number(fields[10]), dropped: Number(fields[12]) }
}
