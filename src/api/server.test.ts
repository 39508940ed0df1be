// The agent's server and its client: answers, errors, streams, and whose socket it is.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { AgentClient, AgentUnreachableError } from './client.ts'
import { ApiError, type RequestFailure, type Route, SocketInUseError, serveApi } from './server.ts'

function socketPath(t: TestContext): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-api-'))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  return path.join(folder, 'agent.sock')
}

async function serve(t: TestContext, routes: readonly Route[], file = socketPath(t)) {
  const failures: RequestFailure[] = []
  const server = await serveApi(file, routes, failure => failures.push(failure))
  t.after(() => server.close())
  return { file, client: new AgentClient(file), server, failures }
}

const status = (answer: () => unknown): Route => ({ method: 'GET', path: /\/v1\/status/, answer })

test('an error that the sender should know comes with its code; any other is also told to the log', async t => {
  const faults = [new ApiError(409, 'TAKEN', 'it is taken'), new Error('a defect')]
  const { client, failures } = await serve(t, [
    status(() => {
      throw faults.shift()
    }),
  ])
  await assert.rejects(client.status(), { status: 409, code: 'TAKEN', message: 'it is taken' })
  assert.equal(failures.length, 0)
  await assert.rejects(client.status(), { status: 500, code: 'INTERNAL', message: 'a defect' })
  assert.deepEqual(
    failures.map(({ method, url }) => `${method} ${url}`),
    ['GET /v1/status'],
  )
})

test('a socket has one server; what a dead one left behind is taken over', async t => {
  const { file, client, server } = await serve(t, [status(() => ({ node: 'first' }))])
  await assert.rejects(serve(t, [], file), SocketInUseError)
  assert.deepEqual(await client.status(), { node: 'first' })
  await server.close()
  await assert.rejects(client.status(), AgentUnreachableError)
  fs.writeFileSync(file, '')
  await serve(t, [status(() => ({ node: 'second' }))], file)
  assert.deepEqual(await client.status(), { node: 'second' })
})

test('a stream waits for a slow reader, and ends with it', async t => {
  const ended = Promise.withResolvers<number>()
  const { client } = await serve(t, [
    {
      method: 'GET',
      path: /\/v1\/flows/,
      stream: async ({ signal }, send) => {
        let sent = 0
        for (; !signal.aborted && sent < 100_000; sent++) await send({ filler: 'x'.repeat(4096) })
        ended.resolve(sent)
      },
    },
  ])
  for await (const _ of client.flows({})) break
  assert.ok((await ended.promise) < 100_000)
})
