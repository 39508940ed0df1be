// A policy about names that pods may ask for, from the manifest to real resolvers' eyes:
// the pod asks a server in another pod, the node's proxy stands in between unseen.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { type TestContext, test } from 'node:test'
import { readResponse } from '../../src/dns/index.ts'
import { message } from '../../src/dns/testing/messages.ts'
import { Namespace, withNamespace } from '../../src/net/index.ts'
import type { ClientAnswer, ClientCall } from '../proxy/dns-client-program.ts'
import { podManifest } from '../sandbox/support.ts'
import { NODE_ADDRESSES, plugIn } from './outside.ts'
import { NEEDS_ROOT, startCluster, type TestCluster, until } from './support.ts'

const CLIENT = 'shop/client'
const SERVER = 'shop/dns'
const NODE = 'node'
/** Of a server in no cluster. */
const OUTSIDE = ['172.30.0.53', 'fd00:172:30::53'] as const
const PROGRAMS = path.join(import.meta.dirname, '../proxy')
const [NO_ERROR, REFUSED] = [0, 5]

/** Of the server, as pods are told to ask. */
const SERVICE = '10.96.44.53'
const serviceManifest = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: 'shop', name: 'dns' },
  spec: {
    clusterIP: SERVICE,
    selector: { app: 'dns' },
    ports: [
      { name: 'udp', port: 53, protocol: 'UDP' },
      { name: 'tcp', port: 53, protocol: 'TCP' },
    ],
  },
}

const portsOf = (dns: readonly object[]) => [
  { ports: [{ port: '53', protocol: 'ANY' }], ...(dns.length > 0 && { rules: { dns } }) },
]

const policyOf = (...dns: readonly object[]) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { namespace: 'shop', name: 'names' },
  spec: {
    endpointSelector: { matchLabels: { role: 'client' } },
    egress: [
      {
        toEndpoints: [{ matchLabels: { app: 'dns' } }],
        toPorts: portsOf(dns),
      },
      {
        toEntities: ['host', 'world'],
        toPorts: portsOf(dns),
      },
    ],
  },
})

/** The network of a pod, or of the node. */
async function networkOf({ client, agent }: TestCluster, pod: string): Promise<Namespace> {
  const [namespace = '', name = ''] = pod.split('/')
  const { pid } = pod === NODE ? await agent.status() : await client.pod(namespace, name)
  return Namespace.ofProcess(pid)
}

function startIn(t: TestContext, network: Namespace, command: readonly [string, ...string[]]): ChildProcess {
  const [program, ...args] = command
  // spawn() forks before it returns, so the child is born in the namespace.
  const child = withNamespace(network, () => spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] }))
  t.after(() => child.kill('SIGKILL'))
  return child
}

/** @returns what it hears, a line each */
async function serveIn(t: TestContext, network: Namespace, addresses: readonly string[]): Promise<readline.Interface> {
  const program = path.join(PROGRAMS, 'dns-server-program.ts')
  const lines = linesOf(startIn(t, network, [process.execPath, program, ...addresses]))
  await once(lines, 'line')
  return lines
}

const linesOf = ({ stdout }: ChildProcess): readline.Interface => {
  assert.ok(stdout)
  return readline.createInterface({ input: stdout })
}

type Heard = { readonly name: string; readonly address: string; readonly transport: string }

test('policies about names that are asked for', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-dns-policy')
  await cluster.enforce(
    'pods',
    podManifest(CLIENT, { labels: { role: 'client' } }),
    podManifest(SERVER, { labels: { app: 'dns' } }),
  )
  await cluster.untilReady(CLIENT, SERVER)
  const addresses = async (pod: string) => (await cluster.pod(pod))?.addresses ?? []
  const [clientAddresses, serverAddresses] = [await addresses(CLIENT), await addresses(SERVER)]
  const heard: Heard[] = []
  using servers = await networkOf(cluster, SERVER)
  const server = await serveIn(t, servers, serverAddresses)
  server.on('line', line => heard.push(JSON.parse(line) as Heard))
  using clients = await networkOf(cluster, CLIENT)
  const client = startIn(t, clients, [process.execPath, path.join(PROGRAMS, 'dns-client-program.ts')])
  const answers = linesOf(client)[Symbol.asyncIterator]()
  let port = 20_000

  /** @returns the code of the answer, `silence` without one */
  const ask = async (
    name: string,
    transport: 'TCP' | 'UDP' = 'UDP',
    family: 4 | 6 = 4,
    at?: string,
  ): Promise<number | 'silence'> => {
    const isOf = (address: string): boolean => address.includes(':') === (family === 6)
    const call: ClientCall = {
      transport,
      from: { address: clientAddresses.find(isOf) ?? '', port: ++port },
      to: { address: at ?? serverAddresses.find(isOf) ?? '', port: 53 },
      messages: [Buffer.from(message({ id: port, questions: [{ name }] })).toString('base64')],
      wanted: 1,
      timeoutMs: 1_500,
    }
    client.stdin?.write(`${JSON.stringify(call)}\n`)
    const { value } = await answers.next()
    const [answer] = (JSON.parse(value as string) as ClientAnswer).answers
    if (!answer) return 'silence'
    assert.equal(answer.from, `${call.to.address} 53`)
    const question = readResponse(Buffer.from(answer.message, 'base64'))
    assert.ok(!('problem' in question))
    return question.flags & 15
  }
  const untilAnswered = (name: string, code: number | 'silence') =>
    until(`${name} to be answered with ${code}`, async () => (await ask(name)) === code)

  await t.test('without a policy the pod asks the server itself', async () => {
    assert.equal(await ask('www.example.com'), NO_ERROR)
    assert.equal(await ask('www.example.com', 'TCP'), NO_ERROR)
  })

  await t.test('names that rules allow are answered, others refused, over each transport and family', async () => {
    await cluster.enforce('policy', policyOf({ matchName: 'api.example.com' }, { matchPattern: '*.open.example' }))
    await untilAnswered('secret.example', REFUSED)
    heard.length = 0
    for (const transport of ['UDP', 'TCP'] as const)
      for (const family of [4, 6] as const) {
        const over = `${transport} over IPv${family}`
        assert.equal(await ask('api.example.com', transport, family), NO_ERROR, over)
        assert.equal(await ask('x.open.example', transport, family), NO_ERROR, over)
        assert.equal(await ask('secret.example', transport, family), REFUSED, over)
      }
    assert.deepEqual([...new Set(heard.map(({ name }) => name))].sort(), ['api.example.com.', 'x.open.example.'])
    assert.deepEqual(
      [...new Set(heard.map(({ address }) => address))].sort(),
      [...clientAddresses].sort(),
      'the pod itself',
    )
  })

  await t.test('the server may be a service', async () => {
    await cluster.enforce('service', serviceManifest)
    for (const transport of ['UDP', 'TCP'] as const) {
      await until(`the service to answer over ${transport}`, async () => {
        return (await ask('api.example.com', transport, 4, SERVICE)) === NO_ERROR
      })
      assert.equal(await ask('secret.example', transport, 4, SERVICE), REFUSED, transport)
    }
  })

  const judgesAll = async (addresses: readonly [ipv4: string, ipv6: string]) => {
    for (const transport of ['UDP', 'TCP'] as const)
      for (const family of [4, 6] as const) {
        const over = `${transport} over IPv${family}`
        const at = addresses[family === 4 ? 0 : 1]
        assert.equal(await ask('api.example.com', transport, family, at), NO_ERROR, over)
        assert.equal(await ask('secret.example', transport, family, at), REFUSED, over)
      }
  }

  await t.test('the server may be one of the node itself', async () => {
    using node = await networkOf(cluster, NODE)
    await serveIn(t, node, NODE_ADDRESSES)
    await judgesAll(NODE_ADDRESSES)
  })

  await t.test('the server may be outside', async () => {
    const outside = await plugIn(t, cluster, 'outside', OUTSIDE)
    await serveIn(t, outside, OUTSIDE)
    await judgesAll(OUTSIDE)
  })

  await t.test('the resolver of the C library asks for both families at once, and is answered', async t => {
    const file = path.join(mkdtempSync(path.join(tmpdir(), 'axo-resolv-')), 'resolv.conf')
    t.after(() => rmSync(path.dirname(file), { recursive: true }))
    writeFileSync(file, `nameserver ${serverAddresses[0]}\noptions timeout:1 attempts:1\n`)
    const resolve = async (name: string): Promise<ReadonlySet<string>> => {
      const script = `mount --bind ${file} /etc/resolv.conf && exec getent ahosts ${name}`
      const child = startIn(t, clients, ['unshare', '--mount', 'sh', '-c', script])
      const addresses = new Set<string>()
      for await (const line of linesOf(child)) addresses.add(line.split(' ')[0] ?? '')
      return addresses
    }
    assert.deepEqual(await resolve('api.example.com'), new Set(['192.0.2.1', '2001:db8::1']))
    assert.equal((await resolve('secret.example')).size, 0)
  })

  await t.test('a change of rules is obeyed by the next question', async () => {
    await cluster.enforce('policy', policyOf({ matchPattern: 'secret.*' }))
    await untilAnswered('secret.example', NO_ERROR)
    assert.equal(await ask('api.example.com'), REFUSED)
  })

  await t.test('the rules hold while the agent is away', async () => {
    const { pid } = await cluster.agent.status()
    process.kill(pid, 'SIGSTOP')
    try {
      assert.equal(await ask('secret.example'), NO_ERROR)
      assert.equal(await ask('api.example.com'), REFUSED)
    } finally {
      process.kill(pid, 'SIGCONT')
    }
  })

  await t.test('without rules for names all are answered again', async () => {
    await cluster.enforce('policy', policyOf())
    await untilAnswered('api.example.com', NO_ERROR)
  })
})
