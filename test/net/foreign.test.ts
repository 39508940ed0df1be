// Speaking as somebody else: datagrams and connections from addresses that this node
// does not have, to sockets that are told where they were sent.

import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { formatIp, ip } from '../../src/ip/index.ts'
import { bindTo } from '../../src/net/foreign-sockets.ts'
import {
  connectForeign,
  DatagramBatch,
  ForeignSender,
  openForeignDatagrams,
  ReadableSet,
  type SocketEnd,
  tellOriginalDestination,
  withNamespace,
} from '../../src/net/index.ts'
import { check } from '../../src/sys/errors.ts'
import { addressOf, close, keepAlive, SYSCALL, stableBuffer, syscall } from '../../src/sys/native.ts'
import { freshNamespace, needsRoot, outputInside } from './fixture.ts'

const NONBLOCK_CLOEXEC = 0o2004000
const TYPE = { stream: 1, datagram: 2 } as const
const PORT = 5353
const FAMILIES = [
  { family: 4, own: '10.0.0.1', foreign: '10.8.0.1', all: '0.0.0.0/0' },
  { family: 6, own: 'fd00::1', foreign: 'fd00:8::1', all: '::/0' },
] as const
type Addresses = (typeof FAMILIES)[number]

/** Everything is delivered to this namespace's own sockets, whatever its address is, as steering would do. */
async function steeredNamespace(t: TestContext, { family, own, all }: Addresses) {
  const { namespace } = freshNamespace(t)
  const ip = (...args: string[]) => outputInside(namespace, 'ip', [`-${family}`, ...args])
  await ip('address', 'add', own, 'dev', 'lo')
  await ip('route', 'add', 'local', all, 'dev', 'lo', 'table', '100')
  await ip('rule', 'add', 'iif', 'lo', 'lookup', '100')
  return namespace
}

/** A socket on the port, of all addresses. */
function listening(t: TestContext, family: 4 | 6, type: number): number {
  const fd = check('socket', syscall(SYSCALL.socket, family === 4 ? 2 : 10, type | NONBLOCK_CLOEXEC, 0))
  t.after(() => close(fd))
  check('bind', bindTo(fd, { address: ip(family === 4 ? '0.0.0.0' : '::').bytes, port: PORT }))
  return fd
}

function send(fd: number, text: string): void {
  const bytes = stableBuffer(text.length)
  bytes.write(text)
  check('send', syscall(SYSCALL.sendto, fd, addressOf(bytes), bytes.length))
  keepAlive(bytes)
}

const text = (end: SocketEnd | undefined): string | undefined => end && `${formatIp(end.address)} ${end.port}`

describe('foreign sockets', needsRoot, () => {
  for (const addresses of FAMILIES) {
    const { family, own, foreign } = addresses

    it(`exchange datagrams of IPv${family}, and tell both ends`, async t => {
      const namespace = await steeredNamespace(t, addresses)
      const server = { address: ip(own).bytes, port: PORT }
      const { listener, client, sender, ready } = withNamespace(namespace, () => ({
        listener: listening(t, family, TYPE.datagram),
        client: check('open', openForeignDatagrams(ip(foreign).bytes, server)),
        sender: new ForeignSender(family),
        ready: new ReadableSet(8),
      }))
      t.after(() => close(client))
      t.after(() => sender[Symbol.dispose]())
      t.after(() => ready[Symbol.dispose]())
      tellOriginalDestination(listener, family)
      ready.add(listener)
      assert.equal(ready.ready(), 0)
      send(client, 'question')
      assert.deepEqual([ready.ready(), ready.at(0)], [1, listener])
      const batch = new DatagramBatch(4, 64)
      assert.equal(batch.receive(listener), 1)
      assert.equal(Buffer.from(batch.payload(0)).toString(), 'question')
      assert.equal(text(batch.destination(0)), `${own} ${PORT}`)
      const asked = batch.source(0)
      assert.match(text(asked) ?? '', new RegExp(`^${foreign} `))

      // Odd and long, so that the checksum and fragments are right too.
      for (const answer of ['odd', 'long'.repeat(2_000)]) {
        assert.equal(sender.send(server, asked as SocketEnd, Buffer.from(answer)), 0)
        const replies = new DatagramBatch(4, 10_000)
        assert.equal(replies.receive(client), 1)
        assert.equal(Buffer.from(replies.payload(0)).toString(), answer)
        assert.equal(text(replies.source(0)), `${own} ${PORT}`)
      }
      sender.send({ ...server, port: PORT + 1 }, asked as SocketEnd, Buffer.from('of another port'))
      assert.equal(batch.receive(client), -11, 'a connected socket hears nobody else')
    })

    it(`say what was cut off of datagrams of IPv${family}`, async t => {
      const namespace = await steeredNamespace(t, addresses)
      const to = { address: ip(own).bytes, port: PORT }
      const listener = withNamespace(namespace, () => listening(t, family, TYPE.datagram))
      const client = withNamespace(namespace, () => check('open', openForeignDatagrams(ip(foreign).bytes, to)))
      t.after(() => close(client))
      send(client, '12345678')
      send(client, '123456789')
      const batch = new DatagramBatch(4, 8)
      assert.deepEqual([batch.receive(listener), batch.isCut(0), batch.isCut(1)], [2, false, true])
      assert.equal(batch.destination(0), undefined, 'nobody asked for it')
    })

    it(`connect over IPv${family}, or say why not`, async t => {
      const namespace = await steeredNamespace(t, addresses)
      const to = { address: ip(own).bytes, port: PORT }
      const { signal } = new AbortController()
      await assert.rejects(
        withNamespace(namespace, () => ({ attempt: connectForeign(ip(foreign).bytes, to, signal) })).attempt,
        { code: 'ECONNREFUSED' },
      )
      const listener = withNamespace(namespace, () => listening(t, family, TYPE.stream))
      check('listen', syscall(SYSCALL.listen, listener, 8))
      const fd = await withNamespace(namespace, () => ({ attempt: connectForeign(ip(foreign).bytes, to, signal) }))
        .attempt
      send(fd, 'hello')
      close(fd)
      const unreachable = { address: ip(family === 4 ? '10.0.0.9' : 'fd00::9').bytes, port: PORT }
      await outputInside(namespace, 'ip', [`-${family}`, 'rule', 'delete', 'iif', 'lo', 'lookup', '100'])
      await outputInside(namespace, 'ip', ['link', 'add', 'hole', 'up', 'type', 'veth', 'peer', 'name', 'nobody'])
      await outputInside(namespace, 'ip', ['link', 'set', 'nobody', 'up'])
      await outputInside(namespace, 'ip', [`-${family}`, 'route', 'replace', 'default', 'dev', 'hole'])
      const given = new AbortController()
      const attempt = withNamespace(namespace, () => ({
        attempt: connectForeign(ip(foreign).bytes, unreachable, given.signal),
      })).attempt
      given.abort()
      await assert.rejects(attempt, { code: 'ECANCELED' })
    })
  }
})
