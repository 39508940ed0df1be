// Health check servers on the loopback addresses: what load balancers are told, and what
// happens to a port that is in use.

import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { ServiceHealth } from '../tables/index.ts'
import { healthServerOperations } from './health-servers.ts'

const { signal } = new AbortController()

const health = (name: string, port: number, localBackends: number): ServiceHealth => ({
  namespace: 'shop',
  name,
  port,
  localBackends,
})

/** A server at a port that was free, which it keeps until it is closed. */
async function occupied(): Promise<{ readonly port: number; readonly close: () => Promise<void> }> {
  const server = http.createServer()
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', () => resolve())
  await promise
  const { port } = server.address() as AddressInfo
  return { port, close: () => new Promise(closed => void server.close(() => closed())) }
}

async function freePort(): Promise<number> {
  const { port, close } = await occupied()
  await close()
  return port
}

function started(addresses: readonly string[]) {
  const problems = new Map<string, string>()
  const operations = healthServerOperations({
    addresses,
    tell({ name }, problem) {
      if (problem === undefined) problems.delete(name)
      else problems.set(name, problem)
    },
  })
  return { operations, problems, [Symbol.asyncDispose]: () => operations.prune([], signal) }
}

const ask = (port: number, host = '127.0.0.1') => fetch(`http://${host}:${port}/healthz`)

test('200 with the number of backends of this node, 503 without any', async () => {
  await using node = started(['127.0.0.1', '::1'])
  const port = await freePort()
  await node.operations.update([health('web', port, 2)], signal)
  for (const host of ['127.0.0.1', '[::1]']) {
    const response = await ask(port, host)
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('x-load-balancing-endpoint-weight'), '2')
    assert.equal(response.headers.get('content-type'), 'application/json')
    assert.deepEqual(await response.json(), {
      service: { namespace: 'shop', name: 'web' },
      localEndpoints: 2,
      serviceProxyHealthy: true,
    })
  }
  await node.operations.update([health('web', port, 0)], signal)
  const response = await ask(port)
  assert.deepEqual([response.status, response.headers.get('x-load-balancing-endpoint-weight')], [503, '0'])
  await response.body?.cancel()
})

test('a server follows its service to another port, and goes with it', async () => {
  await using node = started(['127.0.0.1'])
  const [first, second] = [await freePort(), await freePort()]
  await node.operations.update([health('web', first, 1)], signal)
  await node.operations.update([health('web', second, 1)], signal)
  await assert.rejects(ask(first))
  assert.equal((await ask(second)).status, 200)
  await node.operations.delete([health('web', second, 1)], signal)
  await assert.rejects(ask(second))
})

test('a port that is in use is told with its service; the others go on, and it is taken when it is free', async () => {
  await using node = started(['127.0.0.1'])
  const other = await occupied()
  const rows = [health('web', other.port, 1), health('api', await freePort(), 3)] as const
  const failures = await node.operations.update(rows, signal)
  assert.deepEqual([...(failures?.keys() ?? [])], [rows[0]])
  assert.deepEqual([...node.problems.keys()], ['web'])
  assert.match(node.problems.get('web') ?? '', /^spec\.healthCheckNodePort: .*EADDRINUSE.*; choose another port/)
  assert.equal((await ask(rows[1].port)).status, 200)
  await other.close()
  await node.operations.update([rows[0]], signal)
  assert.equal((await ask(rows[0].port)).status, 200)
  assert.deepEqual([...node.problems.keys()], [])
})
