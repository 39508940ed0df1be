// Requests through a real HAProxy under its real configuration: what rules allow arrives,
// what they do not is answered with a denial, and connections stay usable.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { PROXY_ANSWER } from '../../src/http/index.ts'
import { outputInside } from '../net/fixture.ts'
import { SERVER } from './http-network.ts'
import { type Asked, DENIED_BODY, HttpProxy, httpSet, judgedBy, needsRoot, SECRETS, triedOut } from './http-proxy.ts'

const SETS = [
  httpSet(1, { method: 'GET', path: '/public/.*' }, { path: '/any' }),
  httpSet(2, { method: 'POST|PUT', path: '/(upload|send)' }, { path: '/v[0-9]+/x', method: 'GET' }),
  httpSet(3, { host: '(api|web)\\.example\\.com' }),
  httpSet(4, { headers: [{ name: 'x-token', secret: { namespace: 'a', name: 'token' }, mismatch: 'deny' }] }),
  httpSet(
    5,
    {
      path: '/h.*',
      headers: [
        { name: 'x-add', value: 'added', mismatch: 'add' },
        { name: 'x-replace', value: 'right', mismatch: 'replace' },
        { name: 'x-delete', value: 'kept', mismatch: 'delete' },
        { name: 'x-log', value: 'told', mismatch: 'log' },
      ],
    },
    { path: '/hello' },
  ),
  httpSet(6),
  triedOut(httpSet(7, { method: 'GET', path: '/public/.*' })),
  triedOut(
    httpSet(8, {
      path: '/v[0-9]+',
      headers: [
        { name: 'x-key', mismatch: 'deny' },
        { name: 'x-add', value: 'added', mismatch: 'add' },
      ],
    }),
  ),
]

const get = (path: string, sets: readonly [number, number], headers = '', host = 'web.example.com'): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${judgedBy(...sets)}${headers}\r\n`

describe('requests by rules', needsRoot, () => {
  let proxy: HttpProxy
  before(async () => {
    proxy = await HttpProxy.start({ sets: SETS })
  })
  after(async () => proxy?.[Symbol.asyncDispose]())

  async function status(request: string, asked: Partial<Asked> = {}): Promise<number> {
    const { bytes } = await proxy.ask(request, asked)
    return Number(/^HTTP\/1\.1 (\d+)/.exec(bytes)?.[1])
  }

  test('a denial has the body that was asked for', async () => {
    const { bytes } = await proxy.ask(get('/secret', [1, 0]))
    assert.ok(bytes.endsWith(`\r\n\r\n${DENIED_BODY}`), bytes)
  })

  const CASES: readonly [name: string, request: string, status: number][] = [
    ['no rules in either direction', get('/x', [0, 0]), 200],
    ['a beginning of a path', get('/public/a?b=%20c', [1, 0]), 200],
    ['another path', get('/secret', [1, 0]), 403],
    ['the beginning itself, and no more', get('/public', [1, 0]), 403],
    ['another method', get('/public/a', [1, 0]).replace('GET', 'PUT'), 403],
    ['any method', get('/any', [1, 0]).replace('GET', 'PURGE'), 200],
    ['a whole path, and more', get('/anything', [1, 0]), 403],
    ['an alternative', get('/send', [0, 2]).replace('GET', 'PUT'), 200],
    ['a regular expression', get('/v12/x', [0, 2]), 200],
    ['a regular expression of the whole path', get('/v12/xy', [0, 2]), 403],
    ['both directions', get('/any', [1, 3]), 200],
    ['one direction of two', get('/any', [1, 2]), 403],
    ['a host with its port, in any case', get('/', [3, 0], '', 'API.example.com:8080'), 200],
    ['another host', get('/', [3, 0], '', 'apiXexample.com'), 403],
    ['a header as the secret says', get('/', [0, 4], `X-Token: ${SECRETS['token']}\r\n`), 200],
    ['a header twice, with two values', get('/', [0, 4], `X-Token: ${SECRETS['token']}\r\nX-Token: x\r\n`), 403],
    ['a header under two names', get('/', [0, 4], `X-Token: ${SECRETS['token']}\r\nX_Token: x\r\n`), 403],
    ['no header', get('/', [0, 4]), 403],
    ['a set without rules', get('/', [6, 0]), 403],
    ['a set that is not there', get('/', [99, 0]), 403],
    ['no word of the kernel', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 403],
    ['a number that is no answer', 'GET / HTTP/1.1\r\nHost: a\r\ntest-egress: 1\r\ntest-ingress: 1\r\n\r\n', 403],
  ]
  for (const family of [4, 6] as const)
    test(`what rules allow, and nothing else, over IPv${family}`, async () => {
      for (const [name, request, want] of CASES) {
        await proxy.seen()
        assert.equal(await status(request, { family }), want, name)
        const { bytes } = await proxy.seen()
        assert.equal(bytes !== '', want === 200, `${name}: what reached the server: ${bytes}`)
      }
    })

  test('a connection stays usable after a denial, also of a request with a body', async () => {
    const post = `POST /no HTTP/1.1\r\nHost: a\r\n${judgedBy(1, 0)}Content-Length: 5\r\n\r\nhello`
    const { bytes } = await proxy.ask([get('/no', [1, 0]), post, get('/public/1', [1, 0]), get('/public/2', [1, 0])], {
      answers: 4,
    })
    assert.deepEqual(bytes.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 403', 'HTTP/1.1 403', 'HTTP/1.1 200', 'HTTP/1.1 200'])
  })

  test('of requests sent together, each is judged', async () => {
    await proxy.seen()
    const { bytes } = await proxy.ask(get('/public/1', [1, 0]) + get('/no', [1, 0]) + get('/public/2', [1, 0]), {
      answers: 3,
    })
    assert.deepEqual(bytes.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 403', 'HTTP/1.1 200'])
    assert.doesNotMatch((await proxy.seen()).bytes, /\/no/)
  })

  test('headers are added, replaced, deleted and told as rules say', async () => {
    await proxy.seen()
    await proxy.events(0)
    const wrong = 'X-Add: other\r\nX-Replace: wrong\r\nX-Delete: gone\r\nX-Log: wrong\r\n'
    assert.equal(await status(get('/hello', [5, 0], wrong)), 200)
    const { bytes } = await proxy.seen()
    const lines = bytes.split('\r\n').filter(line => line.startsWith('x-'))
    assert.deepEqual(lines.sort(), ['x-add: added', 'x-add: other', 'x-log: wrong', 'x-replace: right'])
    const events = await proxy.events(1)
    assert.deepEqual(events.at(-1)?.mismatchedHeaders, ['x-add', 'x-replace', 'x-delete', 'x-log'])
  })

  test('a new set is judged by at once, on an open connection', async () => {
    const result = proxy.ask([get('/new', [50, 0]), get('/new', [50, 0])], { answers: 2 })
    assert.match((await result).bytes, /^HTTP\/1\.1 403/)
    await proxy.add(httpSet(50, { path: '/n[a-z]+' }))
    assert.equal(await status(get('/new', [50, 0])), 200)
  })

  test('bodies pass through without being kept', async () => {
    await using proxy = await HttpProxy.start({ sets: SETS })
    const megabytes = 200
    const program = `import http from 'node:http'
      const headers = { 'test-egress': '${PROXY_ANSWER}', 'test-ingress': '${PROXY_ANSWER}' }
      const length = async stream => { let sum = 0; for await (const chunk of stream) sum += chunk.length; return sum }
      const ask = (path, method) => http.request({ host: '${SERVER[4]}', path, method, headers, agent: false })
      const down = ask('/large?mb=${megabytes}', 'GET').on('response', async answer => {
        console.log(await length(answer))
        const up = ask('/up', 'PUT').on('response', answer => {
          console.log(answer.statusCode)
          process.exit()
        })
        for (let count = 0; count < ${megabytes}; count++)
          if (!up.write(Buffer.alloc(1 << 20))) await new Promise(resolve => up.once('drain', resolve))
        up.end()
      })
      down.end()`
    const printed = outputInside(proxy.network.client, process.execPath, ['--input-type=module', '--eval', program])
    assert.equal(await printed, `${megabytes << 20}\n200\n`)
    const [, peakKilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${proxy.haproxyPid}/status`, 'utf8')) ?? []
    assert.ok(Number(peakKilobytes) < 64 << 10, `${peakKilobytes} kB`)
  })

  test('each request makes an event', async () => {
    await using proxy = await HttpProxy.start({ sets: SETS })
    const status = async (request: string, asked: Partial<Asked> = {}) => proxy.ask(request, asked)
    await status(get('/public/a"b?x', [1, 0]))
    await status(get('/no', [0, 1]))
    await status('nonsense\r\n\r\n')
    await status(get('/', [0, 0]), { port: 82 })
    const [allowed, denied, malformed, unreachable] = await proxy.events(4)
    assert.ok(allowed && denied && malformed && unreachable)
    assert.equal(allowed.verdict, 'FORWARDED')
    assert.deepEqual([allowed.opener.address, allowed.opener.identity], ['10.9.1.1', 1001])
    assert.deepEqual([allowed.responder.address, allowed.responder.port], ['10.9.2.2', 80])
    assert.equal(allowed.service, 9)
    assert.deepEqual(allowed.egress, { set: 1, rule: 0, policyRule: 7 })
    assert.deepEqual(allowed.ingress, { set: 0, policyRule: 8 })
    assert.ok(allowed.latencyNs !== undefined)
    const { headers: _, ...content } = allowed.content.parser === 'http' ? allowed.content : assert.fail()
    assert.deepEqual(content, {
      parser: 'http',
      method: 'GET',
      path: '/public/a"b?x',
      host: 'web.example.com',
      scheme: 'http',
      version: 'HTTP/1.1',
      status: 200,
    })
    assert.deepEqual([denied.verdict, denied.deniedBy], ['DROPPED', 'ingress'])
    assert.deepEqual([malformed.verdict, malformed.reason], ['ERROR', 'the request is not well-formed'])
    assert.deepEqual([unreachable.verdict, unreachable.reason], ['ERROR', 'the server could not be reached'])
  })

  test('what only rules that are tried out would deny passes unchanged, and is told', async () => {
    await proxy.seen()
    await proxy.events(0)
    type Case = [
      path: string,
      sets: [number, number],
      status: number,
      verdict: string,
      by?: string | undefined,
      headers?: string,
    ]
    const cases: readonly Case[] = [
      ['/public/a', [7, 0], 200, 'FORWARDED'],
      ['/secret', [7, 0], 200, 'AUDIT', 'egress'],
      ['/public/../secret', [0, 7], 200, 'AUDIT', 'ingress'],
      ['/v1', [8, 0], 200, 'FORWARDED', undefined, 'X-Key: 1\r\n'],
      ['/v1', [8, 0], 200, 'AUDIT', 'egress'],
      ['/public/a', [1, 7], 200, 'FORWARDED'],
      ['/any', [1, 7], 200, 'AUDIT', 'ingress'],
      ['/secret', [1, 7], 403, 'DROPPED', 'egress'],
      ['/secret', [7, 1], 403, 'DROPPED', 'ingress'],
      ['/public/../any', [1, 7], 400, 'ERROR'],
    ]
    for (const [path, sets, want, , , headers] of cases)
      assert.equal(await status(get(path, sets, headers)), want, path)
    const events = await proxy.events(cases.length)
    // Several threads tell of them.
    const inOrder = (lines: (readonly unknown[])[]) => lines.map(line => line.join(' ')).sort()
    assert.deepEqual(
      inOrder(events.map(({ verdict, deniedBy, egress, ingress }) => [verdict, deniedBy, egress.set, ingress.set])),
      inOrder(cases.map(([, sets, , verdict, by]) => [verdict, by, ...sets])),
    )
    const audited = events.find(({ verdict, deniedBy }) => verdict === 'AUDIT' && deniedBy === 'egress')
    assert.equal(audited?.egress.rule, undefined)
    assert.doesNotMatch((await proxy.seen()).bytes, /x-add/)
  })
})

test('a client that takes all connections leaves others theirs', needsRoot, async () => {
  await using proxy = await HttpProxy.start({ sets: SETS, maxConnections: 40 })
  const idle = Array.from({ length: 40 }, () => proxy.ask('GET /', { silenceMs: 3000 }))
  const closed = (await Promise.all(idle)).filter(result => result.closed)
  assert.equal(closed.length, 10, 'it gets three quarters')
  const again = Array.from({ length: 40 }, () => proxy.ask('GET /', { silenceMs: 3000 }))
  const { bytes } = await proxy.ask(get('/', [0, 0]), { family: 6 })
  assert.match(bytes, /^HTTP\/1\.1 200/)
  await Promise.all(again)
})

test('long paths that are asked for do not stay in memory', needsRoot, async () => {
  await using proxy = await HttpProxy.start({ sets: SETS, logs: false })
  const residentKib = (): number => {
    const [, text] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${proxy.haproxyPid}/status`, 'utf8')) ?? []
    return Number(text)
  }
  const ROUNDS = 12
  const EACH = 250
  await proxy.ask(get('/first', [2, 0]))
  const before = residentKib()
  for (let round = 0; round < ROUNDS; round++) {
    const paths = Array.from({ length: EACH }, (_, index) => `/${round}-${index}-${'a'.repeat(14_000)}`)
    const { bytes } = await proxy.ask(paths.map(path => get(path, [2, 0])).join(''), { answers: EACH })
    assert.equal(bytes.match(/^HTTP\/1\.1 403/gm)?.length, EACH)
  }
  const grown = residentKib() - before
  assert.ok(grown < 16_000, `${grown} KiB more after ${ROUNDS * EACH} paths of 14 kB`)
})
