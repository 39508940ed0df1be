// The socket programs as an agent attaches them: they stay when it ends, the next one
// puts its own in their place, and connections do not notice.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { openSockets } from '../../src/agent/sockets.ts'
import { type Feature, type Link, PinDirectory, probe } from '../../src/bpf/index.ts'
import { loadDatapath, loadSocketPrograms } from '../../src/maps/index.ts'
import { createNamespace, namespaceCookie } from '../../src/net/index.ts'
import { attachSockets, detachSockets } from '../../src/reconcilers/index.ts'
import { needsRoot, temporaryBpffs, temporaryCgroup } from '../bpf/support.ts'
import { POD_OBJECT, SERVER_PORT, SERVERS, SOCK_OBJECT, SocketNode, serveAll, type TestService } from './socket-node.ts'

const NAME = { address: '10.96.0.1', port: 80 }
const SERVICE: TestService = {
  number: 1,
  protocol: 'TCP',
  frontends: [NAME],
  backends: [{ id: 1, address: SERVERS[4][0], port: SERVER_PORT }],
}

/** A node whose programs nobody has attached yet. */
async function detachedNode(t: TestContext): Promise<{ node: SocketNode; pins: PinDirectory }> {
  const bpffs = temporaryBpffs()
  const node = new SocketNode({ attach: false })
  t.after(async () => {
    await node[Symbol.asyncDispose]()
    bpffs[Symbol.dispose]()
  })
  await node.addressed(SERVERS[4], node.namespace)
  await serveAll(node.process(), SERVERS[4])
  node.setService(SERVICE)
  return { node, pins: PinDirectory.open(bpffs.path, 1).folder('links') }
}

const linksOf = (pins: PinDirectory): { id: number; programId: number; cgroupId: bigint | undefined }[] =>
  pins.list().map(name => {
    using link: Link = pins.openLink(name) ?? assert.fail(`no link ${name}`)
    const { id, programId, cgroupId } = link.info()
    return { id, programId, cgroupId }
  })

const idOf = (folder: string): bigint => fs.statSync(folder, { bigint: true }).ino

test('links outlive who made them, and the next programs take their places', { skip: needsRoot }, async t => {
  const { node, pins } = await detachedNode(t)
  const client = node.process()
  const connect = async (): Promise<string> => (await client.open('TCP')).connect(NAME)
  assert.equal(await connect(), 'ENETUNREACH')
  attachSockets(node.sockets, node.cgroup, pins)
  const first = linksOf(pins)
  assert.equal(first.length, Object.keys(node.sockets.programs).length)
  node.sockets[Symbol.dispose]()
  const kept = await client.open('TCP')
  assert.equal(await kept.connect(NAME), 'ok')

  using next = loadSocketPrograms(node.datapath, {
    object: SOCK_OBJECT,
    nodeNamespace: namespaceCookie(node.namespace),
  })
  attachSockets(next, node.cgroup, pins)
  const second = linksOf(pins)
  assert.deepEqual(
    second.map(({ id }) => id),
    first.map(({ id }) => id),
  )
  const ids = new Set(Object.values(next.programs).map(({ id }) => id))
  assert.ok(second.every(({ programId }) => ids.has(programId)))
  assert.equal(await connect(), 'ok')
  assert.equal(await kept.peer(), `${NAME.address} ${NAME.port}`)

  detachSockets(pins)
  assert.equal(await connect(), 'ENETUNREACH')
  assert.equal(await kept.ask(), SERVERS[4][0])
})

test('another group gets links of its own, in the place of the old ones', { skip: needsRoot }, async t => {
  const { node, pins } = await detachedNode(t)
  attachSockets(node.sockets, node.cgroup, pins)
  const below = path.join(node.cgroup, 'below')
  fs.mkdirSync(below)
  using removal = new DisposableStack()
  removal.defer(() => fs.rmdirSync(below))
  await using stack = new AsyncDisposableStack()
  const [above, inside] = [node.process(), node.process(node.namespace, below)]
  stack.defer(() => inside.end())
  assert.equal(await (await above.open('TCP')).connect(NAME), 'ok')
  attachSockets(node.sockets, below, pins)
  assert.ok(linksOf(pins).every(({ cgroupId }) => cgroupId === idOf(below)))
  assert.equal(await (await above.open('TCP')).connect(NAME), 'ENETUNREACH')
  assert.equal(await (await inside.open('TCP')).connect(NAME), 'ok')
})

test('what is no control group is refused by name, and what was attached stays', { skip: needsRoot }, async t => {
  const { node, pins } = await detachedNode(t)
  attachSockets(node.sockets, node.cgroup, pins)
  const before = linksOf(pins)
  const refused = (folder: string, reason: RegExp): void =>
    assert.throws(() => attachSockets(node.sockets, folder, pins), reason)
  refused('/tmp', /^NoControlGroupError: --service-cgroup \/tmp is not a control group; give /)
  refused('/nowhere', /^NoControlGroupError: --service-cgroup \/nowhere cannot be opened; give /)
  assert.deepEqual(linksOf(pins), before)
})

test('a kernel that cannot have them: said once, none stay, and the agent goes on', { skip: needsRoot }, () => {
  using bpffs = temporaryBpffs()
  using cgroup = temporaryCgroup()
  using datapath = loadDatapath({ object: POD_OBJECT, hostMac: new Uint8Array(6), pins: bpffs.path })
  using node = createNamespace()
  const said: string[] = []
  const log = { info: () => undefined, error: (_fields: object, message: string) => said.push(message) }
  const pins = datapath.pins?.folder('socket-links') ?? assert.fail('no pins')
  {
    using sockets = openSockets({ datapath, node, cgroup: cgroup.path, log })
    assert.ok(sockets)
  }
  assert.equal(pins.list().length, 10)
  assert.deepEqual(said, [])
  const ask = (feature: Feature) => ({ ...probe(feature), answer: 'missing' }) as const
  assert.equal(openSockets({ datapath, node, cgroup: cgroup.path, log, ask }), undefined)
  assert.deepEqual(pins.list(), [])
  assert.equal(said.length, 1)
  assert.match(
    said[0] ?? '',
    /no socket programs that call bpf_set_retval \(Linux 6\.1\), so --service-cgroup has no effect/,
  )
  // Who asks for none is not told what the kernel lacks.
  assert.equal(openSockets({ datapath, node, cgroup: undefined, log, ask }), undefined)
  assert.equal(said.length, 1)
})
