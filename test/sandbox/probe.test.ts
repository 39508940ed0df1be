// `sandbox probe` measures real connections: what is dropped on the way is denied, what is answered in any way by the
// other pod is allowed, and what cannot be measured is an error.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import http from 'node:http'
import { after, before, suite, test } from 'node:test'
import { sandboxProbe } from '../../src/sandbox/commands.ts'
import { down, nodePaths, type ProbeResult, up } from '../../src/sandbox/index.ts'
import { capture, describeSandbox, NEEDS_ROOT, podManifest, runInPod } from './support.ts'

const sandbox = describeSandbox('test-probe')
const PODS = ['x/a', 'x/b', 'y/a'] as const
const PORTS = [
  { containerPort: 80, name: 'http' },
  { containerPort: 81, protocol: 'UDP', name: 'echo' },
]

/** Has the stub agent drop what goes from one pod to another's port. */
async function deny(from: string, to: string, protocol: 'tcp' | 'udp', port: number, family: 4 | 6 = 4): Promise<void> {
  const addressOf = async (key: string) =>
    (await sandbox.pod(key))?.addresses.find(address => address.includes(':') === (family === 6))
  const body = JSON.stringify({ from: await addressOf(from), to: await addressOf(to), protocol, port })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const options = { socketPath: nodePaths(sandbox.paths, 'node1').agentSocket, method: 'POST', path: '/v1/denied' }
  const request = http.request(options, response => {
    response.resume()
    if (response.statusCode === 200) resolve()
    else reject(new Error(`HTTP status ${response.statusCode}`))
  })
  request.on('error', reject).end(body)
  await promise
}

const denied = (results: readonly ProbeResult[]): string[] =>
  results
    .filter(({ verdict }) => verdict === 'denied')
    .map(({ from, to, port, protocol }) => `${from} ${to} ${port}/${protocol}`)

suite('probe', { skip: NEEDS_ROOT }, () => {
  before(async () => {
    await up(sandbox.configuration)
    sandbox.apply('pods', ...PODS.map(key => podManifest(key, { ports: PORTS })))
    await sandbox.untilReady(...PODS)
  })
  after(() => down(sandbox.name))

  test('every ordered pair of different pods and every port, open or closed', async () => {
    const { results, skipped } = await sandbox.client.probe({ ports: '80/TCP,81/UDP,99/TCP,99/UDP' })
    assert.deepEqual(skipped, [])
    assert.equal(results.length, 6 * 4)
    assert.deepEqual(denied(results), [])
    assert.deepEqual(results[0], { from: 'x/a', to: 'x/b', port: 80, protocol: 'TCP', verdict: 'allowed' })
    assert.ok(results.every(({ from, to }) => from !== to))
    const keys = results.map(({ from, to, port, protocol }) => `${from} ${to} ${port}/${protocol}`)
    assert.equal(new Set(keys).size, keys.length)
  })

  test('exactly what is dropped is denied', async () => {
    await deny('x/a', 'y/a', 'tcp', 80)
    await deny('x/b', 'x/a', 'udp', 81)
    await deny('y/a', 'x/b', 'tcp', 99)
    await deny('y/a', 'x/a', 'tcp', 80, 6)
    const ports = '80/TCP,81/UDP,99/TCP,99/UDP'
    const { results } = await sandbox.client.probe({ ports })
    assert.deepEqual(denied(results), ['x/a y/a 80/TCP', 'x/b x/a 81/UDP', 'y/a x/b 99/TCP'])
    assert.equal(results.length, 6 * 4)
    const { results: six } = await sandbox.client.probe({ ports, family: 6 })
    assert.deepEqual(denied(six), ['y/a x/a 80/TCP'])
    assert.equal(six.length, 6 * 4)
  })

  test('a named port is looked up in each destination', async () => {
    sandbox.apply('other', podManifest('y/b', { ports: [{ containerPort: 8080, name: 'http' }] }))
    await sandbox.untilReady('y/b')
    const { results } = await sandbox.client.probe({ ports: 'http,echo/UDP' })
    const to = (pod: string) => [...new Set(results.filter(result => result.to === pod).map(({ port }) => port))]
    assert.deepEqual(to('y/b'), [8080])
    assert.deepEqual(to('x/a'), [80, 81])
    sandbox.remove('other')
    await sandbox.untilGone('y/b')
  })

  test('a pod that does not run is named and left out', async () => {
    sandbox.apply('other', podManifest('y/z', { image: 'example.com/shop' }))
    await sandbox.until('y/z', pod => pod.reason === 'ImageNotAvailable')
    const { results, skipped } = await sandbox.client.probe({ ports: '80' })
    assert.deepEqual(skipped, ['y/z'])
    assert.equal(results.length, 6)
    sandbox.remove('other')
    await sandbox.untilGone('y/z')
  })

  test('pods that are on their way up or down are waited for', async () => {
    sandbox.apply('other', podManifest('y/new', { ports: PORTS }))
    await sandbox.until('y/new', () => true)
    const up = await sandbox.client.probe({ ports: '81/UDP' })
    assert.equal(up.results.length, 4 * 3)
    sandbox.remove('other')
    await sandbox.until('y/new', pod => pod.phase === 'Terminating')
    const down = await sandbox.client.probe({ ports: '81/UDP' })
    assert.deepEqual([down.results.length, down.skipped], [3 * 2, []])
  })

  test('many silent cells take the time of one', async () => {
    const numbers = Array.from({ length: 40 }, (_, index) => 2000 + index)
    for (const number of numbers.slice(0, 3)) await deny('x/a', 'x/b', 'udp', number)
    const { results } = await sandbox.client.probe({ ports: numbers.map(number => `${number}/UDP`).join() })
    assert.deepEqual(
      denied(results),
      numbers.slice(0, 3).map(number => `x/a x/b ${number}/UDP`),
    )
    assert.equal(results.length, 6 * 40)
  })

  test('what cannot be measured is an error', async () => {
    await assert.rejects(sandbox.client.probe({ ports: '80/ICMP' }), { code: 'invalid' })
    const hasSctp = /^SCTP /m.test(fs.readFileSync('/proc/net/protocols', 'utf8'))
    if (!hasSctp)
      await assert.rejects(sandbox.client.probe({ ports: '80/SCTP' }), { code: 'not-measured', message: /no SCTP/ })
  })

  test('the command prints JSON of exactly five fields, or a picture', async () => {
    const streams = capture()
    assert.equal(await sandboxProbe({ name: sandbox.name, ports: '80/TCP', output: 'json' }, streams), 0)
    const results = JSON.parse(streams.text()) as object[]
    assert.equal(results.length, 6)
    for (const result of results) assert.deepEqual(Object.keys(result), ['from', 'to', 'port', 'protocol', 'verdict'])
    const table = capture()
    assert.equal(await sandboxProbe({ name: sandbox.name, ports: '80/TCP' }, table), 0)
    assert.match(table.text(), /^80\/TCP from\s+x\/a\s+x\/b\s+y\/a\nx\/a\s+·\s+\+\s+X\n/)
    const wrong = capture()
    assert.equal(await sandboxProbe({ name: sandbox.name, ports: 'x/y' }, wrong), 1)
    assert.match(wrong.errors(), /^axoneme: port 'x\/y'/)
  })

  test('the built-in client says how it ended', async () => {
    const addressOf = async (key: string) => (await sandbox.pod(key))?.addresses[0] ?? ''
    const from = (key: string, ...command: string[]) => runInPod(sandbox, key, ['agnhost', ...command])
    const b = await addressOf('x/b')
    assert.equal((await from('x/a', 'connect', `${b}:80`)).code, 0)
    assert.equal((await from('x/a', 'connect', `${b}:81`, '--protocol', 'udp')).code, 0)
    const refused = await from('x/a', 'connect', `${b}:99`, '--timeout=5s')
    assert.deepEqual([refused.code, refused.stderr], [3, 'REFUSED\n'])
    const timedOut = await from('x/a', 'connect', `${await addressOf('y/a')}:80`, '--timeout=200ms')
    assert.deepEqual([timedOut.code, timedOut.stderr], [4, 'TIMEOUT\n'])
    const page = await from('x/a', 'get', `http://${b}/where?x=1`)
    assert.match(page.stdout, /^x\/b\nGET \/where\?x=1 HTTP\/1\.1\nclient: 10\.244\.0\.\d+:\d+\n$/)
  })
})
