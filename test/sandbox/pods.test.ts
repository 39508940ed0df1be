// Pods run as Kubernetes users expect: network before commands, restarts, exit codes, init containers, graceful ends, live
// changes; and what is wrong with a pod is said in its status.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, before, suite, test } from 'node:test'
import { AgentClient } from '../../src/api/client.ts'
import * as cgroup from '../../src/sandbox/cgroup.ts'
import { down, nodePaths, type PodStatus, up } from '../../src/sandbox/index.ts'
import { containerLog } from '../../src/sandbox/paths.ts'
import { describeSandbox, NEEDS_ROOT, podManifest, runInPod } from './support.ts'

const sandbox = describeSandbox('test-pods')
const { agentSocket, folder: nodeFolder } = nodePaths(sandbox.paths, 'node1')
const podsCgroup = (): string => path.join(cgroup.cgroupRoot(), sandbox.paths.cgroupName, 'node1/pods')

function logOf(key: string, container = 'c'): string {
  const [namespace = '', name = ''] = key.split('/')
  const file = containerLog(sandbox.paths, { namespace, name }, container)
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : ''
}

const containerOf = (pod: PodStatus | undefined, name = 'c') =>
  pod?.containers.find(container => container.name === name)

async function endpoints(): Promise<number> {
  return ((await new AgentClient(agentSocket).status()) as unknown as { endpoints: number }).endpoints
}

suite('pods', { skip: NEEDS_ROOT }, () => {
  const watched = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-watched-'))
  before(async () => void (await up({ ...sandbox.configuration, folders: [watched] })))
  after(async () => {
    await down(sandbox.name)
    fs.rmSync(watched, { recursive: true })
  })

  test('a watched folder is a source too', async () => {
    fs.writeFileSync(path.join(watched, 'pod.json'), JSON.stringify(podManifest('x/watched')))
    await sandbox.untilReady('x/watched')
    fs.rmSync(path.join(watched, 'pod.json'))
    await sandbox.untilGone('x/watched')
  })

  test('a deleted pod leaves nothing', async () => {
    sandbox.apply('gone', podManifest('x/gone'), podManifest('x/gone2'))
    await sandbox.untilReady('x/gone', 'x/gone2')
    assert.equal(cgroup.processes(podsCgroup()).length > 0, true)
    sandbox.remove('gone')
    await sandbox.untilGone('x/gone')
    await sandbox.untilGone('x/gone2')
    assert.deepEqual(cgroup.processes(podsCgroup()), [])
    assert.deepEqual(
      fs.readdirSync(podsCgroup(), { withFileTypes: true }).filter(entry => entry.isDirectory()),
      [],
    )
    assert.equal(await endpoints(), 0)
    assert.deepEqual(fs.readdirSync(sandbox.paths.podFiles).sort(), [
      'agnhost',
      'app-clients.mjs',
      'app-names.mjs',
      'app-rpc.mjs',
      'app-talk.mjs',
      'app.mjs',
    ])
  })

  test('no command runs before the agent has said that the network is ready', async () => {
    const refuse = path.join(nodeFolder, 'refuse')
    fs.writeFileSync(refuse, '')
    sandbox.apply('early', podManifest('x/early', { command: ['sh', '-c', 'ip -o addr show eth0; exec sleep 600'] }))
    const waiting = await sandbox.until('x/early', pod => pod.reason === 'NetworkNotReady')
    assert.match(waiting.message ?? '', /told to refuse/)
    assert.equal(logOf('x/early'), '')
    fs.rmSync(refuse)
    await sandbox.untilReady('x/early')
    await sandbox.until('x/early', () => logOf('x/early').includes('inet6'))
    assert.match(logOf('x/early'), /inet 10\.244\.0\.\d+/)
    sandbox.remove('early')
  })

  test('pods that cannot get a network do not hold up the others', async () => {
    const refused = Array.from({ length: 9 }, (_, index) => podManifest(`x/refused${index}`))
    sandbox.apply('refused', ...refused)
    await sandbox.until('x/refused0', pod => pod.reason === 'NetworkNotReady')
    sandbox.apply('other', podManifest('x/other'))
    await sandbox.untilReady('x/other')
    sandbox.remove('refused')
    sandbox.remove('other')
    await sandbox.untilGone('x/refused8')
  })

  test('a pod waits for an agent that is down', async () => {
    const agent = (await sandbox.client.status()).nodes[0]?.agent
    assert.ok(agent?.state === 'ready')
    process.kill(agent.pid, 'SIGSTOP')
    sandbox.apply('later', podManifest('x/later'))
    await sandbox.until('x/later', pod => pod.phase === 'Pending')
    process.kill(agent.pid, 'SIGKILL')
    await sandbox.untilReady('x/later')
    sandbox.remove('later')
  })

  test('labels change in place, a changed spec is a new pod', async () => {
    const startedAt = (pod: PodStatus | undefined): string | undefined => {
      const container = containerOf(pod)
      return container?.state === 'running' ? container.startedAt : undefined
    }
    sandbox.apply('live', podManifest('x/live'))
    const first = startedAt(await sandbox.until('x/live', pod => pod.ready))
    sandbox.apply('live', podManifest('x/live', { labels: { role: 'db' } }))
    // A pod that is written after it has started when the change before it has been seen.
    sandbox.apply('marker', podManifest('x/marker'))
    await sandbox.untilReady('x/marker')
    assert.equal(startedAt(await sandbox.pod('x/live')), first)
    sandbox.apply('live', podManifest('x/live', { ports: [{ containerPort: 8080 }] }))
    await sandbox.until('x/live', pod => pod.ready && startedAt(pod) !== first)
    sandbox.remove('live')
    sandbox.remove('marker')
  })

  test('policies of restart, exit codes and back-off', async () => {
    const exits = (key: string, code: number, restartPolicy: string) =>
      podManifest(key, { command: ['sh', '-c', `echo ran; exit ${code}`], spec: { restartPolicy } })
    sandbox.apply(
      'exits',
      exits('x/never', 3, 'Never'),
      exits('x/done', 0, 'OnFailure'),
      exits('x/failing', 4, 'OnFailure'),
      exits('x/always', 0, 'Always'),
      podManifest('x/missing', { command: ['no-such-command'], spec: { restartPolicy: 'Never' } }),
      podManifest('x/killed', { command: ['sh', '-c', 'kill -9 $$$$'], spec: { restartPolicy: 'Never' } }),
    )
    const never = containerOf(await sandbox.until('x/never', pod => pod.phase === 'Failed'))
    assert.ok(never?.state === 'terminated')
    assert.deepEqual([never.exitCode, never.restarts, never.reason], [3, 0, 'Error'])
    assert.equal((await sandbox.until('x/done', pod => pod.phase === 'Succeeded')).ready, false)
    assert.equal(logOf('x/done'), 'ran\n')
    for (const [key, code] of [
      ['x/failing', 4],
      ['x/always', 0],
    ] as const) {
      const again = containerOf(await sandbox.until(key, pod => (containerOf(pod)?.restarts ?? 0) >= 1))
      assert.equal(again?.lastExitCode, code)
      await sandbox.until(key, pod => {
        const container = containerOf(pod)
        return container?.state === 'waiting' && container.reason === 'CrashLoopBackOff'
      })
    }
    const missing = containerOf(await sandbox.until('x/missing', pod => pod.phase === 'Failed'))
    assert.ok(missing?.state === 'terminated')
    assert.deepEqual([missing.exitCode, missing.reason], [127, 'CommandNotFound'])
    assert.match(logOf('x/missing'), /cannot run no-such-command: No such file/)
    const killed = containerOf(await sandbox.until('x/killed', pod => pod.phase === 'Failed'))
    assert.ok(killed?.state === 'terminated')
    assert.equal(killed.exitCode, 137)
    sandbox.remove('exits')
    await sandbox.untilGone('x/always')
  })

  test('a pod ends gracefully, and in the end by force', async () => {
    const polite = 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done'
    const deaf = 'trap "echo no" TERM; echo up; while :; do sleep 0.05; done'
    sandbox.apply(
      'polite',
      podManifest('x/polite', { command: ['sh', '-c', polite], spec: { terminationGracePeriodSeconds: 600 } }),
    )
    sandbox.apply('deaf', podManifest('x/deaf', { command: ['sh', '-c', deaf] }))
    for (const key of ['x/polite', 'x/deaf']) await sandbox.until(key, () => logOf(key).startsWith('up'))
    sandbox.remove('polite')
    sandbox.remove('deaf')
    await sandbox.untilGone('x/polite')
    await sandbox.untilGone('x/deaf')
    assert.equal(logOf('x/polite'), 'up\nbye\n')
    assert.match(logOf('x/deaf'), /^up\nno\n/)
  })

  test('init containers run in order before the others; a sidecar goes on beside them', async () => {
    const container = (name: string, script: string, more = {}) => ({ name, command: ['sh', '-c', script], ...more })
    const wait = 'until test -e /tmp/go; do sleep 0.02; done'
    const initContainers = [
      container('first', 'sleep 0.1; echo first >> /tmp/order'),
      container('side', 'echo side >> /tmp/order; exec sleep 600', { restartPolicy: 'Always' }),
      container('second', 'until grep -q side /tmp/order; do sleep 0.02; done; echo second >> /tmp/order'),
    ]
    const containers = [container('main', `cat /tmp/order; ${wait}`), container('other', wait)]
    const spec = { restartPolicy: 'Never', initContainers, containers }
    sandbox.apply('init', { ...podManifest('x/init'), spec })
    await sandbox.until('x/init', pod => pod.phase === 'Running' && logOf('x/init', 'main').includes('second'))
    assert.equal(logOf('x/init', 'main'), 'first\nside\nsecond\n')
    assert.equal(containerOf(await sandbox.pod('x/init'), 'side')?.state, 'running')
    await runInPod(sandbox, 'x/init', ['touch', '/tmp/go'])
    const done = await sandbox.until('x/init', pod => pod.phase === 'Succeeded')
    assert.equal(containerOf(done, 'side')?.state, 'terminated')
    sandbox.remove('init')
  })

  test('a failed init container of a pod that never restarts fails the pod', async () => {
    const containers = [{ name: 'main', command: ['echo', 'never'] }]
    const initContainers = [{ name: 'first', command: ['false'] }]
    sandbox.apply('bad-init', {
      ...podManifest('x/bad-init'),
      spec: { restartPolicy: 'Never', initContainers, containers },
    })
    await sandbox.until('x/bad-init', pod => pod.phase === 'Failed')
    assert.equal(logOf('x/bad-init', 'main'), '')
    sandbox.remove('bad-init')
  })

  test('a pod whose first process is lost is made anew', async () => {
    sandbox.apply('lost', podManifest('x/lost'))
    await sandbox.untilReady('x/lost')
    const { pid } = await sandbox.client.pod('x', 'lost')
    process.kill(pid, 'SIGKILL')
    await sandbox.client.waitForPods(() => true, { timeoutMs: 1000 })
    await sandbox.until('x/lost', pod => pod.reason === 'SandboxChanged' || !pod.ready)
    await sandbox.untilReady('x/lost')
    assert.notEqual((await sandbox.client.pod('x', 'lost')).pid, pid)
    sandbox.remove('lost')
  })

  test('what cannot run says why, and disturbs nobody', async () => {
    sandbox.apply(
      'odd',
      podManifest('x/image', { image: 'example.com/shop:v1' }),
      podManifest('x/elsewhere', { spec: { nodeName: 'node9' } }),
      podManifest('x/fine'),
    )
    await sandbox.untilReady('x/fine')
    const image = await sandbox.pod('x/image')
    assert.deepEqual([image?.phase, image?.reason], ['Pending', 'ImageNotAvailable'])
    assert.match(image?.message ?? '', /no stand-in for 'example\.com\/shop:v1'/)
    assert.equal(await sandbox.pod('x/elsewhere'), undefined)
    await assert.rejects(sandbox.client.pod('x', 'image'), { code: 'not-running', message: /ImageNotAvailable/ })
    await assert.rejects(sandbox.client.pod('x', 'nobody'), { code: 'not-found' })
    sandbox.remove('odd')
  })

  test('a pod runs as its user, with its variables, in its folder', async () => {
    const env = [
      { name: 'WHO', value: '$(IP) x' },
      { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'ADDRESS', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
    ]
    const command = ['sh', '-c', 'id -u; id -g; pwd; echo $ADDRESS; touch /tmp/mine && echo wrote; exec sleep 600']
    const containers = [{ name: 'c', command, env, workingDir: '/usr', securityContext: { runAsUser: 1234 } }]
    sandbox.apply('user', { ...podManifest('x/user'), spec: { containers, terminationGracePeriodSeconds: 0 } })
    const pod = await sandbox.until('x/user', () => logOf('x/user').includes('wrote'))
    assert.equal(logOf('x/user'), `1234\n1234\n/usr\n${pod.addresses[0]}\nwrote\n`)
    assert.equal((await runInPod(sandbox, 'x/user', ['id', '-u'])).stdout, '1234\n')
    sandbox.remove('user')
  })

  test('a log has a limit', async () => {
    // 3 MiB of output, and the end of it.
    const script = 'yes 0123456789abcde | head -c 3145728; echo the end; exec sleep 600'
    sandbox.apply('chatty', podManifest('x/chatty', { command: ['sh', '-c', script] }))
    await sandbox.until('x/chatty', () => logOf('x/chatty').endsWith('the end\n'))
    const sizes = fs
      .readdirSync(sandbox.paths.logs)
      .filter(file => file.startsWith('x_chatty_'))
      .map(file => fs.statSync(path.join(sandbox.paths.logs, file)).size)
    assert.equal(sizes.length, 2)
    for (const size of sizes) assert.ok(size <= 1 << 20)
    sandbox.remove('chatty')
  })
})
