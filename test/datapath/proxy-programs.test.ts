// What a proxy's processes have of the datapath: its pinned maps, sockets in
// `proxy_sockets`, the programs for its control group. Steering is tested elsewhere.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { attachCgroup } from '../../src/bpf/index.ts'
import { loadDatapath, loadProxyPrograms, openProxyMaps, proxySocketIndex } from '../../src/maps/index.ts'
import { temporaryBpffs, temporaryCgroup } from '../bpf/support.ts'
import { HOST_MAC, needsRoot, OBJECT } from './node.ts'

const PROXY_OBJECT = readFileSync(new URL('../../build/proxy.o', import.meta.url))
const sizes = { flows: 1_000, translations: 1_000, ipcache: 1_000, endpoints: 100 }

test('without the pins of an agent it says what to do', { skip: needsRoot }, () => {
  using bpffs = temporaryBpffs()
  assert.throws(() => openProxyMaps({ object: PROXY_OBJECT, pins: path.join(bpffs.path, 'axoneme') }), {
    code: 'ENOENT',
    message: /flows.*start the agent first/,
  })
})

test('the programs load beside the pinned maps and go on a control group', { skip: needsRoot }, () => {
  using bpffs = temporaryBpffs()
  using cgroup = temporaryCgroup()
  const pins = path.join(bpffs.path, 'axoneme')
  using datapath = loadDatapath({ object: OBJECT, hostMac: HOST_MAC, sizes, pins })
  using proxy = loadProxyPrograms({ object: PROXY_OBJECT, pins })
  using mark = attachCgroup(proxy.programs.mark_proxy, cgroup.path, 'cgroup_inet_sock_create')
  using tell = attachCgroup(proxy.programs.tell_proxy, cgroup.path, 'cgroup_getsockopt')
  using hops = attachCgroup(proxy.programs.keep_hops, cgroup.path, 'cgroup_setsockopt')
  assert.notEqual(hops.info().programId, mark.info().programId)
  assert.notEqual(mark.info().programId, tell.info().programId)
  assert.equal(proxy.maps.flows.id, datapath.maps.flows.id)
})

test('a socket is put in by its descriptor, and leaves when it is closed', { skip: needsRoot }, async () => {
  using bpffs = temporaryBpffs()
  const pins = path.join(bpffs.path, 'axoneme')
  using datapath = loadDatapath({ object: OBJECT, hostMac: HOST_MAC, sizes, pins })
  using proxy = openProxyMaps({ object: PROXY_OBJECT, pins })
  const server = await listening()
  const index = proxySocketIndex(proxy, 'HTTP', 'tcp', 4)
  try {
    proxy.maps.proxy_sockets.set(index, BigInt(descriptorOf(server)))
    assert.ok((datapath.maps.proxy_sockets.get(index) ?? 0n) > 0n, 'its cookie can be read')
  } finally {
    await new Promise(closed => server.close(closed))
  }
  for (let tries = 0; tries < 100 && datapath.maps.proxy_sockets.get(index) !== undefined; tries++) await delay(20)
  assert.equal(datapath.maps.proxy_sockets.get(index), undefined)
})

async function listening(): Promise<Server> {
  const server = createServer()
  await new Promise<void>(ready => server.listen(0, '127.0.0.1', ready))
  return server
}

/** Node has no public name for it. */
const descriptorOf = (server: Server): number => (Reflect.get(server, '_handle') as { readonly fd: number }).fd

test('how far packets of the group go is not for its processes to say', { skip: needsRoot }, () => {
  using bpffs = temporaryBpffs()
  using cgroup = temporaryCgroup()
  const pins = path.join(bpffs.path, 'axoneme')
  using stack = new DisposableStack()
  stack.use(loadDatapath({ object: OBJECT, hostMac: HOST_MAC, sizes, pins }))
  using proxy = loadProxyPrograms({ object: PROXY_OBJECT, pins })
  const asks = (): string =>
    execFileSync('sh', ['-c', 'echo $$ > "$0/cgroup.procs" && exec "$1" -e "$2"', cgroup.path, process.execPath, TTL], {
      encoding: 'utf8',
    })
  assert.equal(asks(), 'set set set ')
  stack.use(attachCgroup(proxy.programs.keep_hops, cgroup.path, 'cgroup_setsockopt'))
  assert.equal(asks(), 'EPERM EPERM set ')
})

/** Tries to set the hop limit over IPv4 and IPv6, and something else. */
const TTL = `
  const dgram = require('node:dgram')
  const attempt = (type, address, set) => new Promise(resolve => {
    const socket = dgram.createSocket(type).bind(0, address, () => {
      let outcome = 'set'
      try { set(socket) } catch (error) { outcome = error.code }
      process.stdout.write(outcome + ' ')
      socket.close(resolve)
    })
  })
  attempt('udp4', '127.0.0.1', socket => socket.setTTL(1))
    .then(() => attempt('udp6', '::1', socket => socket.setTTL(1)))
    .then(() => attempt('udp4', '127.0.0.1', socket => socket.setBroadcast(true)))
`
