// No packet of a sandbox can leave the machine. The sandbox is started from a namespace that plays the machine, with a
// default route, forwarding and a world behind it, so that every packet that came out would be seen, exactly.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  addAddress,
  addRoute,
  allLinks,
  createLink,
  createNamespace,
  type Namespace,
  NetlinkSocket,
  routeTo,
  setLink,
  withNamespace,
  writeSysctls,
} from '../../src/net/index.ts'
import * as cgroup from '../../src/sandbox/cgroup.ts'
import { defaultConfiguration, down, sandboxPaths } from '../../src/sandbox/index.ts'
import { PROGRAMS } from '../../src/sandbox/paths.ts'
import { describeSandbox, finish, NEEDS_ROOT, podManifest, runInPod, STUB_AGENT } from './support.ts'

const NAME = 'test-isolation'
const UP_PROGRAM = fileURLToPath(import.meta.resolve('./up-program.ts'))
const WORLD = ['192.0.2.2', '2001:db8:77::2']
const MACHINE = ['192.0.2.1', '2001:db8:77::1']

/** The machine and the world, joined by a cable. Everything would be forwarded. */
function createMachine(context: TestContext): Namespace {
  const [machine, world] = [createNamespace(), createNamespace()]
  context.after(() => [machine, world].forEach(namespace => namespace.close()))
  for (const namespace of [machine, world]) {
    writeSysctls(namespace, {
      'net/ipv4/ip_forward': 1,
      'net/ipv6/conf/all/forwarding': 1,
      'net/ipv6/conf/default/accept_dad': 0,
      // No router solicitations: once it is quiet, whatever moves a counter is a packet of the test.
      'net/ipv6/conf/default/router_solicitations': 0,
    })
  }
  using socket = NetlinkSocket.open({ namespace: machine })
  const peer = { name: 'machine0', index: 10, namespace: world }
  socket.run(createLink({ kind: 'veth', name: 'world0', index: 10, peer }))
  for (const [namespace, addresses] of [
    [machine, MACHINE],
    [world, WORLD],
  ] as const) {
    using inside = NetlinkSocket.open({ namespace })
    inside.run(
      setLink({ name: 'lo' }, { up: true }),
      setLink({ index: 10 }, { up: true }),
      addAddress({ index: 10, address: addresses[0] ?? '', prefixLength: 24 }),
      addAddress({ index: 10, address: addresses[1] ?? '', prefixLength: 64, noDad: true }),
    )
  }
  socket.run(
    addRoute({ destination: '0.0.0.0/0', index: 10, gateway: WORLD[0] ?? '' }),
    addRoute({ destination: '::/0', index: 10, gateway: WORLD[1] ?? '' }),
  )
  return machine
}

const fileOf = (namespace: Namespace): string => `/proc/${process.pid}/fd/${namespace.fd}`

/** Packets that left the machine so far. */
function packetsOut(machine: Namespace): number {
  const text = withNamespace(machine, () => fs.readFileSync('/proc/thread-self/net/dev', 'utf8'))
  const fields = /^\s*world0:(.*)$/m.exec(text)?.[1]?.trim().split(/\s+/) ?? []
  return Number(fields[9])
}

/** Tries TCP and UDP to each address from inside a namespace. @returns outcomes as build/pod-init says them */
async function tryFrom(namespace: string, addresses: readonly string[]): Promise<string[]> {
  const targets = addresses.flatMap(address => [`tcp ${address} 80`, `udp ${address} 53`])
  const input = targets.map((target, id) => `${id} ${target}\n`).join('')
  const child = spawn(PROGRAMS.podInit, ['probe', '--netns', namespace, '--timeout', '200', '--tries', '1'])
  const { code, stdout, stderr } = await finish(child, input)
  assert.equal(code, 0, stderr)
  return stdout
    .trim()
    .split('\n')
    .map(line => line.replace(/^\d+ /, ''))
}

const settled = (milliseconds = 200): Promise<void> => new Promise(resolve => setTimeout(resolve, milliseconds))

/** The kernel reports the multicast groups of a device that has come up twice, up to a second apart. */
const QUIET_MS = 1_500

/** Until the machine has nothing left to send of its own. */
async function untilQuiet(machine: Namespace): Promise<void> {
  for (let before = Number.NaN; before !== packetsOut(machine); ) {
    before = packetsOut(machine)
    await settled(QUIET_MS)
  }
}

const AGENTS = { 'a stub agent': STUB_AGENT, 'the agent': defaultConfiguration().agentCommand }

for (const [agentName, agentCommand] of Object.entries(AGENTS)) {
  suite(`no packet leaves, with ${agentName}`, { skip: NEEDS_ROOT }, () => {
    test('a sandbox has no path to the machine that it runs on', async context => {
      const machine = createMachine(context)
      context.after(() => down(NAME))
      const linksBefore = linksOf(machine)

      const program = [process.execPath, UP_PROGRAM, NAME, JSON.stringify(agentCommand)]
      const started = await finish(spawn(PROGRAMS.podInit, ['enter', '--netns', fileOf(machine), '--', ...program]))
      assert.equal(started.code, 0, started.stderr)
      const sandbox = describeSandbox(NAME)
      sandbox.apply('pods', podManifest('x/a'), podManifest('x/b'))
      await sandbox.untilReady('x/a', 'x/b')

      // No process of it is in the machine's namespace, and no device of it is there.
      const group = path.join(cgroup.cgroupRoot(), sandboxPaths(NAME).cgroupName)
      const namespaces = cgroup.processes(group).map(pid => fs.readlinkSync(`/proc/${pid}/ns/net`))
      assert.ok(new Set(namespaces).size >= 4, 'switch, node and two pods')
      const outside = [`net:[${machine.inode}]`, fs.readlinkSync('/proc/self/ns/net')]
      assert.deepEqual(
        namespaces.filter(namespace => outside.includes(namespace)),
        [],
      )
      assert.deepEqual(linksOf(machine), linksBefore)

      await untilQuiet(machine)
      const before = packetsOut(machine)
      const everywhere = [...WORLD, ...MACHINE, '8.8.8.8', '2001:4860:4860::8888', '172.30.0.1']
      const agent = (await sandbox.client.status()).nodes[0]?.agent
      assert.ok(agent?.state === 'ready')
      const inNode = `/proc/${agent.pid}/ns/net`
      const inPod = `/proc/${(await sandbox.client.pod('x', 'a')).pid}/ns/net`
      for (const namespace of [inNode, inPod]) {
        for (const outcome of await tryFrom(namespace, everywhere)) assert.match(outcome, /^(?:unreachable|silent)$/)
      }
      const connect = await runInPod(sandbox, 'x/a', ['agnhost', 'connect', `${WORLD[0]}:80`, '--timeout', '1s'])
      assert.notEqual(connect.code, 0)
      await settled()
      assert.equal(packetsOut(machine) - before, 0)

      // The same counter does count what the machine itself sends.
      await tryFrom(fileOf(machine), WORLD)
      assert.ok(packetsOut(machine) > before)
    })

    test('a node has routes to its own pods and the underlay only', async context => {
      const sandbox = describeSandbox(NAME)
      context.after(() => down(NAME))
      const program = [UP_PROGRAM, NAME, JSON.stringify(agentCommand)]
      const started = await finish(spawn(process.execPath, program))
      assert.equal(started.code, 0, started.stderr)
      const agent = (await sandbox.client.status()).nodes[0]?.agent
      assert.ok(agent?.state === 'ready')
      const node = fs.openSync(`/proc/${agent.pid}/ns/net`, 'r')
      using socket = NetlinkSocket.open({ namespace: { fd: node } })
      fs.closeSync(node)
      for (const address of ['8.8.8.8', '192.0.2.1', '2001:db8::1'])
        assert.equal(reachable(socket, address), false, address)
      for (const address of ['172.30.0.9', 'fd00:172:30::9']) assert.equal(reachable(socket, address), true, address)
      // The switch has no addresses at all, so nothing can be sent to it or through it.
      const daemon = fs.openSync(`/proc/${(await sandbox.client.status()).pid}/ns/net`, 'r')
      using underlay = NetlinkSocket.open({ namespace: { fd: daemon } })
      fs.closeSync(daemon)
      assert.equal(reachable(underlay, '172.30.0.2'), false)
      assert.equal(reachable(underlay, 'fd00:172:30::2'), false)
    })
  })
}

function linksOf(namespace: Namespace): string[] {
  using socket = NetlinkSocket.open({ namespace })
  return socket.list(allLinks()).map(({ index, name }) => `${index} ${name}`)
}

function reachable(socket: NetlinkSocket, address: string): boolean {
  try {
    const route = socket.get(routeTo(address))
    return route !== undefined && route.type === 'unicast'
  } catch (error) {
    assert.match(String(error), /ENETUNREACH|EHOSTUNREACH/)
    return false
  }
}
