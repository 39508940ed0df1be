// `sandbox up` and `down` from every state that the one before may have left: whole, crashed, half made, interrupted.
// After each, either a working sandbox is there or nothing at all.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { allLinks, NetlinkSocket } from '../../src/net/index.ts'
import * as cgroup from '../../src/sandbox/cgroup.ts'
import { sandboxDown, sandboxUp } from '../../src/sandbox/commands.ts'
import { down, SandboxClient, up } from '../../src/sandbox/index.ts'
import { capture, describeSandbox, NEEDS_ROOT, podManifest, STUB_AGENT, type TestSandbox } from './support.ts'

const NAME = 'test-life'
const group = (): string => path.join(cgroup.cgroupRoot(), `axoneme-${NAME}`)

/** Everything outside of the sandbox's own namespaces that could be left behind. */
function traces(sandbox: TestSandbox): Record<string, unknown> {
  using socket = NetlinkSocket.open()
  return {
    cgroup: cgroup.exists(group()),
    folder: fs.existsSync(sandbox.paths.folder),
    lock: fs.existsSync(sandbox.paths.lock),
    mounts: fs.readFileSync('/proc/self/mounts', 'utf8').includes(sandbox.paths.folder),
    devices: socket.list(allLinks()).filter(({ name }) => /^(?:underlay|node1|pod\d+)$/.test(name)),
  }
}

const NOTHING = { cgroup: false, folder: false, lock: false, mounts: false, devices: [] }

function prepare(context: TestContext): TestSandbox {
  const sandbox = describeSandbox(NAME)
  context.after(() => down(NAME))
  return sandbox
}

/** Ways to leave a sandbox behind, by name. */
const STATES: Readonly<Record<string, (sandbox: TestSandbox) => Promise<void>>> = {
  nothing: async () => {},
  healthy: async ({ configuration }) => {
    await up(configuration)
  },
  'daemon killed': async ({ configuration, client }) => {
    await up(configuration)
    process.kill((await client.status()).pid, 'SIGKILL')
  },
  'pods running, daemon killed': async sandbox => {
    await up(sandbox.configuration)
    sandbox.apply('pods', podManifest('x/a'), podManifest('x/b'))
    await sandbox.untilReady('x/a', 'x/b')
    process.kill((await sandbox.client.status()).pid, 'SIGKILL')
  },
  'daemon stopped and not answering': async ({ configuration, client }) => {
    await up(configuration)
    process.kill((await client.status()).pid, 'SIGSTOP')
  },
  'only a state folder': async ({ paths }) => {
    fs.mkdirSync(path.join(paths.folder, 'node1/bpf'), { recursive: true })
    fs.writeFileSync(paths.daemonRecord, '{"pid":')
  },
  'only control groups': async () => {
    cgroup.create(path.join(group(), 'node1/pods/x'))
  },
  'record of a process that has its number by chance': async ({ paths }) => {
    fs.mkdirSync(paths.folder, { recursive: true })
    fs.writeFileSync(paths.daemonRecord, JSON.stringify({ pid: process.pid, startTicks: 1, bootId: 'another' }))
  },
}

suite('sandbox life', { skip: NEEDS_ROOT }, () => {
  for (const [state, leave] of Object.entries(STATES)) {
    test(`down after: ${state}`, async context => {
      const sandbox = prepare(context)
      await leave(sandbox)
      const { removed } = await down(NAME)
      assert.equal(removed.length > 0, state !== 'nothing')
      assert.deepEqual(traces(sandbox), NOTHING)
    })

    test(`up after: ${state}`, async context => {
      const sandbox = prepare(context)
      await leave(sandbox)
      const { alreadyUp } = await up(sandbox.configuration)
      assert.equal(alreadyUp, state === 'healthy')
      const status = await sandbox.client.status()
      assert.equal(status.nodes[0]?.agent.state, 'ready')
      assert.deepEqual(status.pods, [])
    })
  }

  test('the commands say what they did, and end with 0', async context => {
    prepare(context)
    const streams = capture()
    assert.equal(await sandboxUp({ name: NAME, agentCommand: STUB_AGENT }, streams), 0)
    assert.equal(await sandboxUp({ name: NAME, agentCommand: STUB_AGENT }, streams), 0)
    assert.equal(await sandboxDown({ name: NAME }, streams), 0)
    assert.equal(await sandboxDown({ name: NAME }, streams), 0)
    assert.match(streams.text(), /is up;[^]*already up[^]*removed control group[^]*nothing to remove/)
  })

  test('two at once make one sandbox', async context => {
    const { configuration } = prepare(context)
    const results = await Promise.all([up(configuration), up(configuration)])
    assert.deepEqual(results.filter(({ alreadyUp }) => alreadyUp).length, 1)
  })

  test('an interrupted up leaves nothing', async context => {
    const sandbox = prepare(context)
    for (const when of ['network', 'agent']) {
      const interrupt = new AbortController()
      const onStep = (step: string): void => {
        if (step.startsWith(when)) interrupt.abort()
      }
      await assert.rejects(up(sandbox.configuration, { signal: interrupt.signal, onStep }), { code: 'interrupted' })
      assert.deepEqual(traces(sandbox), NOTHING)
    }
  })

  test('an up that is killed takes the half-made sandbox with it', async context => {
    const sandbox = prepare(context)
    // The agent never becomes ready, so the start hangs where the kill is meant to hit it.
    const command = [process.execPath, '-e', 'setInterval(() => {}, 1000)']
    const program = fileURLToPath(import.meta.resolve('./up-program.ts'))
    const child = spawn(process.execPath, [program, NAME, JSON.stringify(command)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    for await (const text of child.stdout) if (String(text).includes('agent')) break
    child.kill('SIGKILL')
    await once(child, 'exit')
    for (let waited = 0; cgroup.processes(group()).length > 0; waited += 50) {
      assert.ok(waited < 60_000, 'processes are left')
      await sleep(50)
    }
    await down(NAME)
    assert.deepEqual(traces(sandbox), NOTHING)
  })

  test('an agent that cannot run fails the start with its own words, and nothing is left', async context => {
    const sandbox = prepare(context)
    const agentCommand = ['/bin/sh', '-c', 'echo this kernel is too old; exit 1']
    await assert.rejects(up({ ...sandbox.configuration, agentCommand }), {
      code: 'failed',
      message: /the agent of node1 ended again and again: exit code 1[^]*this kernel is too old/,
    })
    assert.deepEqual(traces(sandbox), NOTHING)
  })

  test('an agent that dies is started again', async context => {
    const sandbox = prepare(context)
    await up(sandbox.configuration)
    const agentOf = async () => (await new SandboxClient(NAME).status()).nodes[0]?.agent
    const first = await agentOf()
    assert.ok(first?.state === 'ready')
    process.kill(first.pid, 'SIGKILL')
    for (let waited = 0; ; waited += 20) {
      const agent = await agentOf()
      if (agent?.state === 'ready' && agent.pid !== first.pid) break
      assert.ok(waited < 60_000, `the agent is ${agent?.state}`)
      await sleep(20)
    }
    assert.equal((await agentOf())?.restarts, 1)
  })

  test('wrong names and missing sandboxes are told apart', async () => {
    assert.throws(() => new SandboxClient('../x'), { code: 'invalid' })
    await assert.rejects(down('Upper'), { code: 'invalid' })
    await assert.rejects(new SandboxClient('test-none').status(), {
      code: 'not-up',
      message: /sandbox up --name test-none/,
    })
  })

  test('control groups can be used where none is mounted', async () => {
    const root = cgroup.cgroupRoot('')
    assert.match(root, /^\/proc\/\d+\/fd\/\d+$/)
    const folder = cgroup.create(path.join(root, 'axoneme-test-detached/inner'))
    const child = spawn('sleep', ['60'])
    fs.writeFileSync(path.join(folder, 'cgroup.procs'), String(child.pid))
    assert.deepEqual(cgroup.processes(path.dirname(folder)), [child.pid])
    const exited = once(child, 'exit')
    assert.equal(await cgroup.remove(path.dirname(folder)), 1)
    await exited
    assert.ok(!cgroup.exists(path.dirname(folder)))
  })
})
