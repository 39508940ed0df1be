// HTTP/2 without TLS, gRPC and WebSocket through a real HAProxy: judged as HTTP/1.1 is,
// and nothing that HTTP/2 can say reaches the server as something else.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { PROXY_ANSWER } from '../../src/http/index.ts'
import { PORT, SERVER, startInside } from './http-network.ts'
import { HttpProxy, httpSet, judgedBy, needsRoot } from './http-proxy.ts'
import type { Http2Answer, Http2Request } from './http2-client-program.ts'

const SETS = [
  httpSet(1, { path: '/public/.*' }),
  httpSet(2, { method: 'POST', path: '/shop\\.Orders/(Get|List)' }),
  httpSet(3, { method: 'GET', path: '/socket' }),
]

const judged = (egress: number) => ({
  'test-egress': String(PROXY_ANSWER + egress),
  'test-ingress': String(PROXY_ANSWER),
})

describe('HTTP/2', needsRoot, () => {
  let proxy: HttpProxy
  let client: ReturnType<typeof startInside>
  let answers: AsyncIterator<string>
  before(async () => {
    proxy = await HttpProxy.start({ sets: SETS })
    client = startInside(proxy.network.client, 'http2-client-program.ts', [`http://${SERVER[4]}:${PORT.http2}`])
    answers = createInterface(client.stdout)[Symbol.asyncIterator]()
  })
  after(async () => {
    client?.stdin.end()
    if (client) await once(client, 'exit')
    await proxy?.[Symbol.asyncDispose]()
  })

  async function ask(request: Http2Request): Promise<Http2Answer> {
    client.stdin.write(`${JSON.stringify(request)}\n`)
    const { value } = await answers.next()
    return JSON.parse(value ?? '{}') as Http2Answer
  }
  const get = (path: string, egress: number, more = {}) =>
    ask({ headers: { ':path': path, ...judged(egress), ...more } })

  test('each request of a connection is judged', async () => {
    assert.equal((await get('/public/x', 1)).headers[':status'], 200)
    assert.equal((await get('/secret', 1)).headers[':status'], 403)
    assert.equal((await get('/public/../secret', 1)).headers[':status'], 400)
    assert.equal((await get('/public/y', 1)).headers[':status'], 200)
    const { streams } = await proxy.seen()
    assert.deepEqual(
      streams.map(headers => (JSON.parse(headers) as { ':path': string })[':path']),
      ['/public/x', '/public/y'],
    )
    const versions = (await proxy.events(4)).map(({ content }) => content.parser === 'http' && content.version)
    assert.deepEqual(
      versions,
      Array.from({ length: 4 }, () => 'HTTP/2.0'),
    )
  })

  test('a denied request whose body comes after its head is answered, and not reset', async () => {
    const body = 'x'.repeat(5000)
    const headers = { ':method': 'POST', ':path': '/secret', 'content-length': String(body.length), ...judged(1) }
    const denied = await ask({ headers, body, bodyIs: 'late' })
    assert.deepEqual([denied.headers[':status'], denied.reset], [403, undefined])
    await ask({ headers, body, bodyIs: 'cut' })
    assert.deepEqual(
      (await proxy.events(2)).map(({ verdict }) => verdict),
      ['DROPPED', 'DROPPED'],
      'denied, whether its body comes or not',
    )
  })

  test('gRPC is denied in its own words', async () => {
    const call = (method: string) =>
      ask({
        headers: {
          ':method': 'POST',
          ':path': `/shop.Orders/${method}`,
          'content-type': 'application/grpc+proto',
          te: 'trailers',
          ...judged(2),
        },
        body: '\0\0\0\0\0',
      })
    const allowed = await call('List')
    assert.deepEqual([allowed.headers[':status'], allowed.trailers?.['grpc-status']], [200, '0'])
    const denied = await call('Delete')
    assert.equal(denied.headers[':status'], 200)
    assert.equal(denied.headers['grpc-status'], '7')
    assert.equal(denied.headers['content-type'], 'application/grpc')
    const events = await proxy.events(2)
    assert.deepEqual(
      events.map(({ verdict }) => verdict),
      ['FORWARDED', 'DROPPED'],
    )
  })

  const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  const frame = (type: number, flags: number, stream: number, payload: string): string =>
    `${bytes(payload.length, 3)}${bytes(type, 1)}${bytes(flags, 1)}${bytes(stream, 4)}${payload}`
  const bytes = (value: number, count: number): string =>
    Array.from({ length: count }, (_, at) => String.fromCharCode((value >>> (8 * (count - 1 - at))) & 0xff)).join('')
  /** Literal without indexing, without Huffman's code (RFC 7541, 6.2.2); up to 126 bytes each. */
  const field = (name: string, value: string): string =>
    `\0${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`
  const request = (fields: readonly (readonly [string, string])[]): string =>
    PREFACE +
    frame(4, 0, 0, '') +
    frame(1, 5, 1, [...fields, ...Object.entries(judged(1))].map(([name, value]) => field(name, value)).join(''))

  const BASE = [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/public/x'],
    [':authority', 'a'],
  ] as const
  const but = (name: string, value: string) => BASE.map(one => (one[0] === name ? ([name, value] as const) : one))

  const TRICKS: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
    'a line in the path': but(':path', '/public/x HTTP/1.1\r\nx: y'),
    'a blank in the path': but(':path', '/public/x y'),
    'a fragment in the path': but(':path', '/public/x#y'),
    'a path without a slash': but(':path', 'public/x'),
    'a star for a path': but(':path', '*'),
    'an empty path': but(':path', ''),
    'an absolute path': but(':path', 'http://b/secret'),
    'dot segments': but(':path', '/public/../secret'),
    'a line in the method': but(':method', 'GET /secret HTTP/1.1\r\nx: y'),
    'a blank in the method': but(':method', 'GET /secret'),
    'a tunnel': [[':method', 'CONNECT'], [':authority', 'a:80']], // biome-ignore format: one case a line
    'a tunnel with a path': but(':method', 'CONNECT'),
    'a line in the authority': but(':authority', 'a\r\nx: y'),
    'a line in a header': [...BASE, ['x', 'y\r\ncontent-length: 5']],
    'a line feed in a header': [...BASE, ['x', 'y\ntransfer-encoding: chunked']],
    'a zero byte in a header': [...BASE, ['x', 'a\0b']],
    'a colon in a name': [...BASE, ['x: y\r\ntransfer-encoding', 'chunked']],
    'a blank in a name': [...BASE, ['x y', '1']],
    'a name in upper case': [...BASE, ['X', '1']],
    chunked: [...BASE, ['transfer-encoding', 'chunked']],
    'a connection header': [...BASE, ['connection', 'keep-alive']],
    'an upgrade': [...BASE, ['upgrade', 'h2c']],
    'a length without a body': [...BASE, ['content-length', '5']],
    'two lengths': [...BASE, ['content-length', '0'], ['content-length', '5']],
    'te that is no trailers': [...BASE, ['te', 'gzip']],
    'two paths': [...BASE, [':path', '/secret']],
    'two methods': [...BASE, [':method', 'POST']],
    'an unknown pseudo-header': [...BASE, [':x', 'y']],
    'a pseudo-header too late': [BASE[0], BASE[1], ['x', 'y'], BASE[2], BASE[3]],
    'no method': BASE.slice(1),
    'no path': BASE.filter(([name]) => name !== ':path'),
    'no scheme': BASE.filter(([name]) => name !== ':scheme'),
  }

  /** HAProxy resets the stream before it is a request, without a word. */
  const SILENT: ReadonlySet<string> = new Set(['a length without a body'])

  test('tricks of the downgrade do not pass, towards HTTP/1.1 or HTTP/2', async () => {
    const preface = await proxy.ask(request(BASE), { port: PORT.http2, silenceMs: 100 })
    assert.ok(preface.bytes.includes('ok'), 'the frames of this test are right')
    await proxy.seen()
    for (const [name, fields] of Object.entries(TRICKS)) {
      await proxy.events(0)
      for (const port of [PORT.http1, PORT.http2]) await proxy.ask(request(fields), { port, silenceMs: 40 })
      const events = await proxy.events(SILENT.has(name) ? 0 : 2)
      const verdicts = new Set(events.map(({ verdict }) => verdict))
      assert.deepEqual(verdicts, new Set(SILENT.has(name) ? [] : ['ERROR']), name)
      const { streams, targets, bytes } = await proxy.seen()
      assert.deepEqual([streams, targets], [[], []], `${name}: ${bytes}`)
    }
  })

  test('a host beside the authority is not what the server sees', async () => {
    await proxy.seen()
    await proxy.ask(request([...BASE, ['host', 'b']]), { port: PORT.http2, silenceMs: 60 })
    for (const headers of (await proxy.seen()).streams) {
      assert.match(headers, /":authority":"a"/)
      assert.doesNotMatch(headers, /"host":"b"/)
    }
  })
})

describe('WebSocket', needsRoot, () => {
  test('is a GET that is judged, and then a tunnel for both', async () => {
    await using proxy = await HttpProxy.start({ sets: SETS })
    const upgrade = (path: string) =>
      `GET ${path} HTTP/1.1\r\nHost: a\r\n${judgedBy(3, 0)}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`
    const denied = await proxy.ask(upgrade('/other'))
    assert.match(denied.bytes, /^HTTP\/1\.1 403/)
    const { bytes } = await proxy.ask([upgrade('/socket'), 'back'], { answers: 2, silenceMs: 300 })
    assert.match(bytes, /^HTTP\/1\.1 101 [\s\S]*\r\n\r\nback$/)
  })
})
