// How an agent starts where it cannot work: one line that says what is missing, exit
// code 1, and nothing touched. And how one goes on when somebody else takes away what
// it has made.

import assert from 'node:assert/strict'
import { type SpawnOptions, spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { createMap, openPinnedMap, PinDirectory } from '../../src/bpf/index.ts'
import { deleteLink, Namespace, NetlinkSocket, withNamespace } from '../../src/net/index.ts'
import { loadSpec, temporaryBpffs } from '../bpf/support.ts'
import { freshNamespace } from '../net/fixture.ts'
import { type Finished, finish, podManifest } from '../sandbox/support.ts'
import { startAxoneme } from './command-line.ts'
import { holdConnections } from './load.ts'
import { denyAll } from './policies.ts'
import { NEEDS_ROOT, startCluster, until } from './support.ts'

const NOBODY = 65_534
const PORT = 8080
const OTHER_VERSION = 999

/** One line that begins with the program's name. */
function assertRefused({ code, stderr }: Finished, pattern: RegExp): void {
  assert.equal(code, 1, stderr)
  assert.match(stderr, pattern)
  assert.deepEqual(stderr.trimEnd().split('\n').length, 1, stderr)
  assert.ok(stderr.startsWith('axoneme: '), stderr)
}

suite('an agent that cannot start says why', { skip: NEEDS_ROOT }, () => {
  /** A folder of its own, and a way to start agents in a network namespace of their own. */
  function place(t: TestContext) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-agent-'))
    t.after(() => fs.rmSync(folder, { recursive: true }))
    fs.chmodSync(folder, 0o777)
    fs.mkdirSync(path.join(folder, 'objects'))
    const { namespace } = freshNamespace(t)
    const start = (bpf: string, more: readonly string[] = [], options: SpawnOptions = {}): Promise<Finished> => {
      const files = ['--socket', path.join(folder, 'agent.sock'), '--objects', path.join(folder, 'objects')]
      const args = ['agent', '--node', 'n', ...files, '--bpf', bpf, '--pod-cidr', '10.0.0.0/24', ...more]
      const child = withNamespace(namespace, () => startAxoneme(args, options))
      t.after(() => child.kill('SIGKILL'))
      return finish(child)
    }
    return { folder, start }
  }

  test('without the rights', async t => {
    const { folder, start } = place(t)
    assertRefused(await start(path.join(folder, 'bpf'), [], { uid: NOBODY, gid: NOBODY }), /needs root, or CAP_BPF/)
    assert.deepEqual(fs.readdirSync(folder), ['objects'])
  })

  test('without a BPF file system', async t => {
    const { folder, start } = place(t)
    assertRefused(await start(path.join(folder, 'bpf')), /bpf: EINVAL: the folder is not in a bpffs/)
  })

  test('with options that cannot be', async t => {
    const { folder, start } = place(t)
    const bpf = path.join(folder, 'bpf')
    const wrong: [string, string, RegExp][] = [
      ['--pod-cidr', '10.1.0.0/24', /--pod-cidr 10\.1\.0\.0\/24: a node has one range/],
      ['--pod-cidr', 'fd00::/300', /--pod-cidr fd00::\/300 is not a prefix/],
      ['--node-address', '1.2.3', /--node-address 1\.2\.3 is not an IP address/],
      ['--mtu', '100', /--mtu 100 is not between/],
      ['--service-cgroup', '/tmp', /--service-cgroup \/tmp is not a control group; give the folder/],
      ['--service-cgroup', '/nowhere', /--service-cgroup \/nowhere cannot be opened; give the folder/],
    ]
    const ends = await Promise.all(wrong.map(([option, value]) => start(bpf, [option, value])))
    for (const [i, end] of ends.entries()) assertRefused(end, wrong[i]?.[2] ?? /^$/)
    assert.deepEqual(fs.readdirSync(folder), ['objects'])
  })

  test('with the maps of another schema version, which stay as they are', async t => {
    const { start } = place(t)
    using bpffs = temporaryBpffs()
    const spec = loadSpec('maps').maps.get('a_hash')
    assert.ok(spec)
    {
      using map = createMap<number, bigint>(spec)
      map.set(1, 11n)
      PinDirectory.open(bpffs.path, OTHER_VERSION).pin('kept', map)
    }
    assertRefused(await start(bpffs.path), /holds pins of schema version 999, .*remove .*\/v999$/m)
    using kept = openPinnedMap<number, bigint>(path.join(bpffs.path, `v${OTHER_VERSION}`, 'kept'), spec)
    assert.equal(kept.get(1), 11n)
    assert.equal(fs.existsSync(path.join(bpffs.path, 'v1')), false)
  })
})

suite('an agent that works', { skip: NEEDS_ROOT }, () => {
  test('is not disturbed by another one, makes devices again, and is itself again after its end', async t => {
    const cluster = await startCluster(t, 'e2e-start')
    await cluster.enforce(
      'pods',
      podManifest('default/a'),
      podManifest('default/b', { ports: [{ containerPort: PORT }] }),
    )
    await cluster.untilReady('default/a', 'default/b')
    const addresses = (await cluster.pod('default/b'))?.addresses ?? []
    const open = await holdConnections(t, cluster, 'default/a', [addresses[0] ?? '', PORT], 3)
    const first = await cluster.agent.status()

    await t.test('a second one on its socket is refused', async () => {
      const command = fs.readFileSync(`/proc/${first.pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
      const second = spawn('nsenter', ['--target', String(first.pid), '--mount', '--net', '--', ...command])
      assertRefused(await finish(second), /agent\.sock.*is it running there already\?/)
      assert.deepEqual((await cluster.agent.status()).pid, first.pid)
      assert.equal(await open.ask('one'), 'echoed')
    })

    await t.test('what it does then, it remembers over its end', async () => {
      await cluster.enforce('more', podManifest('default/c'), denyAll('default', ['egress']))
      await cluster.untilReady('default/c')
      process.kill(first.pid, 'SIGKILL')
      await until('another agent', async () => {
        const status = await cluster.agent.status().catch(() => undefined)
        return status !== undefined && status.pid !== first.pid && status.ready
      })
      const endpoints = (await cluster.agent.table('endpoints')).rows.map(([, pod = '']) => pod)
      assert.deepEqual(endpoints.sort(), ['default/a', 'default/b', 'default/c'])
      cluster.remove('more')
      await cluster.untilGone('default/c')
      await cluster.agent.settled()
      assert.equal(await open.ask('two'), 'echoed')
    })

    await t.test('a device that somebody deletes is made again, and the connection over it goes on', async () => {
      const devices = (await cluster.agent.table('endpoint-entries')).rows
      const index = Number(devices.find(([address]) => address === addresses[0])?.[4])
      using node = Namespace.ofProcess((await cluster.agent.status()).pid)
      using netlink = NetlinkSocket.open({ namespace: node })
      netlink.run(deleteLink({ index }))
      assert.equal(await open.ask('three'), 'echoed')
      // With its programs, which judge what it is sent.
      await cluster.enforce('deny', denyAll('default', ['ingress']))
      const cells = await cluster.probe(`${PORT}/TCP`)
      assert.deepEqual([...new Set(cells.map(({ verdict }) => verdict))], ['denied'])
      await cluster.enforce('deny')
      for (const family of [4, 6] as const)
        assert.deepEqual(
          (await cluster.probe(`${PORT}/TCP`, family)).map(({ verdict }) => verdict),
          ['allowed', 'allowed'],
        )
    })
  })
})
