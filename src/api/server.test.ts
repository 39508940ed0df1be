// The agent's server and its client: answers, errors, streams, and whose socket it is.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
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

/** A socket as a process leaves it that was killed. */
async function leaveSocket(file: string): Promise<void> {
  const server = net.createServer().listen(`${file}.living`)
  await once(server, 'listening')
  fs.linkSync(`${file}.living`, file)
  server.close()
  await once(server, 'close')
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
  await leaveSocket(file)
  await assert.rejects(client.status(), { code: 'AGENT_UNREACHABLE', message: /: nobody listens there$/ })
  await serve(t, [status(() => ({ node: 'second' }))], file)
  assert.deepEqual(await client.status(), { node: 'second' })
})

test('a stream waits for a slow reader, and ends with it', async t => {
  const ended = Promise.withResolvers<number>()
  const { client } = await serve(t, [
    {
      method: 'GET',
      path: /\/v1\/flows/,
      stream:
        ({ signal }) =>
        async send => {
          let sent = 0
          for (; !signal.aborted && sent < 100_000; sent++) await send({ filler: 'x'.repeat(4096) })
          ended.resolve(sent)
        },
    },
  ])
  for await (const _ of client.flows({})) break
  assert.ok((await ended.promise) < 100_000)
})

type Answer = {
  readonly status: number
  readonly body: { readonly error?: { readonly code: string; readonly message: string } }
}

/** A request as it is written, without the client. */
async function ask(file: string, method: string, url: string, body?: string | Buffer): Promise<Answer> {
  const request = http.request({ socketPath: file, method, path: url })
  request.end(body)
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  const text = (await response.toArray()).join('')
  return { status: response.statusCode ?? 0, body: JSON.parse(text) as Answer['body'] }
}

test('a request that cannot be answered says why', async t => {
  const { file, failures } = await serve(t, [
    status(() => ({})),
    { method: 'POST', path: /\/v1\/endpoints/, answer: ({ body }) => ({ body }) },
    { method: 'DELETE', path: /\/v1\/endpoints\/([^/]+)/, answer: ({ parameters }) => ({ parameters }) },
  ])
  const cases: readonly [
    method: string,
    url: string,
    body: string | Buffer | undefined,
    status: number,
    code: string,
  ][] = [
    ['GET', '/v1/nothing', undefined, 404, 'NOT_FOUND'],
    ['GET', '/v1/status/more', undefined, 404, 'NOT_FOUND'],
    ['GET', '//', undefined, 400, 'BAD_URL'],
    ['PUT', '/v1/status', undefined, 405, 'METHOD_NOT_ALLOWED'],
    ['POST', '/v1/endpoints', '{"containerId":', 400, 'BAD_JSON'],
    ['POST', '/v1/endpoints', Buffer.alloc((1 << 20) + 1, 0x20), 413, 'TOO_LARGE'],
    ['POST', '/v1/endpoints', Buffer.alloc(8 << 20, 0x20), 413, 'TOO_LARGE'],
    ['DELETE', '/v1/endpoints/%E0%A4%A', undefined, 400, 'BAD_URL'],
  ]
  for (const [method, url, body, wanted, code] of cases) {
    const answer = await ask(file, method, url, body)
    assert.deepEqual([answer.status, answer.body.error?.code], [wanted, code], `${method} ${url}`)
  }
  assert.deepEqual(failures, [], 'none is a fault of the agent')
})

test('a route gets its parameters decoded, its query and its body', async t => {
  const { file } = await serve(t, [
    {
      method: 'POST',
      path: /\/v1\/pods\/([^/]+)\/([^/]+)/,
      answer: ({ parameters, query, body }) => ({ parameters, follow: query.get('follow'), body: body ?? 'none' }),
    },
    { method: 'DELETE', path: /\/v1\/pods/, answer: () => undefined },
  ])
  assert.deepEqual((await ask(file, 'POST', '/v1/pods/a%2Fb/%C3%BC?follow=1', '{"x":[1]}')).body, {
    parameters: ['a/b', 'ü'],
    follow: '1',
    body: { x: [1] },
  })
  assert.deepEqual((await ask(file, 'POST', '/v1/pods/a/b')).body, {
    parameters: ['a', 'b'],
    follow: null,
    body: 'none',
  })
  assert.deepEqual((await ask(file, 'DELETE', '/v1/pods')).body, {})
})

test('only root may use the socket, and no file is taken for one', async t => {
  const { file } = await serve(t, [])
  assert.equal(fs.statSync(file).mode & 0o777, 0o600)
  const other = `${file}.txt`
  fs.writeFileSync(other, 'precious')
  await assert.rejects(serve(t, [], other), { code: 'NOT_A_SOCKET' })
  assert.equal(fs.readFileSync(other, 'utf8'), 'precious')
})

test('a client that goes is noticed, and is no failure', async t => {
  const started = Promise.withResolvers<void>()
  const gone = Promise.withResolvers<void>()
  const { client, failures } = await serve(t, [
    {
      method: 'GET',
      path: /\/v1\/settled/,
      async answer({ signal }) {
        started.resolve()
        if (!signal.aborted) await once(signal, 'abort')
        gone.resolve()
        throw new Error('given up')
      },
    },
  ])
  const stop = new AbortController()
  const asking = client.settled(stop.signal)
  await started.promise
  stop.abort()
  await assert.rejects(asking, { name: 'AbortError' })
  await gone.promise
  assert.deepEqual(failures, [])
})

const flows = (stream: (send: (item: unknown) => Promise<void>, signal: AbortSignal) => Promise<void>): Route => ({
  method: 'GET',
  path: /\/v1\/flows/,
  stream:
    ({ signal }) =>
    send =>
      stream(send, signal),
})

test('a stream ends well only where it was told to the end', async t => {
  const all = async (client: AgentClient): Promise<unknown[]> => {
    const items: unknown[] = []
    for await (const item of client.flows({})) items.push(item)
    return items
  }
  const whole = await serve(t, [
    flows(async send => {
      for (const item of [{ n: 1 }, { text: 'two\nlines' }]) await send(item)
    }),
  ])
  assert.deepEqual(await all(whole.client), [{ n: 1 }, { text: 'two\nlines' }])

  const faulty = await serve(t, [
    flows(async send => {
      await send({ n: 1 })
      throw new Error('a defect')
    }),
  ])
  await assert.rejects(all(faulty.client), { code: 'STREAM_CUT' })
  assert.equal(faulty.failures.length, 1)

  const ending = await serve(t, [
    flows(async (send, signal) => {
      await send({ n: 1 })
      if (!signal.aborted) await once(signal, 'abort')
    }),
  ])
  const items = ending.client.flows({})
  assert.deepEqual((await items.next()).value, { n: 1 })
  const next = items.next()
  await ending.server.close()
  await assert.rejects(next, { code: 'STREAM_CUT' })
})

test('whoever stops following ends the stream without an error', async t => {
  const ended = Promise.withResolvers<void>()
  const { client } = await serve(t, [
    flows(async (send, signal) => {
      await send({ n: 1 })
      if (!signal.aborted) await once(signal, 'abort')
      ended.resolve()
    }),
  ])
  const stop = new AbortController()
  for await (const _ of client.flows({}, stop.signal)) stop.abort()
  await ended.promise
})

test('a reader that is slow for long costs the server no listeners', async t => {
  const warnings: Error[] = []
  const onWarning = (warning: Error) => warnings.push(warning)
  process.on('warning', onWarning)
  t.after(() => process.off('warning', onWarning))
  const { client } = await serve(t, [
    flows(async send => {
      for (let i = 0; i < 200; i++) await send({ filler: 'x'.repeat(100_000) })
    }),
  ])
  let count = 0
  for await (const _ of client.flows({})) count++
  assert.equal(count, 200)
  assert.deepEqual(warnings, [])
})

test('a stream that is refused says why, as any request does', async t => {
  const { client, failures } = await serve(t, [
    {
      method: 'GET',
      path: /\/v1\/flows/,
      stream: () => {
        throw new ApiError(400, 'BAD_REQUEST', 'not so')
      },
    },
  ])
  await assert.rejects(client.flows({}).next(), { status: 400, code: 'BAD_REQUEST', message: 'not so' })
  assert.deepEqual(failures, [])
})

test('there are only so many streams at a time', async t => {
  const { client, file } = await serve(t, [
    flows(async (send, signal) => {
      await send({})
      if (!signal.aborted) await once(signal, 'abort')
    }),
    status(() => ({ node: 'n' })),
  ])
  const stop = new AbortController()
  const streams = Array.from({ length: 64 }, () => client.flows({}, stop.signal))
  await Promise.all(streams.map(stream => stream.next()))
  await assert.rejects(client.flows({}).next(), { status: 503, code: 'TOO_MANY_STREAMS' })
  assert.equal((await ask(file, 'GET', '/v1/status')).status, 200)
  const ends = streams.map(stream => stream.next())
  stop.abort()
  await Promise.all(ends)
  // The server learns of the ends in its own time.
  for (let tries = 0; ; tries++) {
    const again = client.flows({})
    const failure = await again.next().then(
      () => undefined,
      (error: Error) => error.message,
    )
    await again.return(undefined)
    if (!failure) break
    assert.ok(tries < 1000, failure)
  }
})

test('an answer of somebody who is no agent is told as it is', async t => {
  const file = socketPath(t)
  const server = http.createServer((_, response) => response.writeHead(502).end('bad gateway'))
  server.listen(file)
  await once(server, 'listening')
  t.after(() => server.close())
  await assert.rejects(new AgentClient(file).tables(), { status: 502, code: 'UNKNOWN', message: 'bad gateway' })
})

test('an agent that is not there says so, with the path', async t => {
  const file = socketPath(t)
  await assert.rejects(new AgentClient(file).maps(), {
    code: 'AGENT_UNREACHABLE',
    message: `no agent answers at ${file}: there is no such socket`,
  })
})
