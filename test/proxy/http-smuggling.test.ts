// Requests that two parsers read differently: each is refused, or reaches the server in a
// form that has one reading only, whatever the client wrote. The cases are those of the
// public literature: J. Kettle, "HTTP Desync Attacks" (2019) and "HTTP/2: The Sequel is
// Always Worse" (2021); B. Jabiyev et al., "T-Reqs" (2021); B. Kallus et al., "The HTTP
// Garden" (2024); RFC 9112, section 11. Then random mixtures of their pieces.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { HttpProxy, httpSet, judgedBy, needsRoot } from './http-proxy.ts'
import { readStrictly } from './strict-http.ts'

const SETS = [httpSet(1, { path: '/public/.*' }, { method: 'OPTIONS', path: '.*' })]
const J = judgedBy(1, 0)
const BODY = '5\r\nhello\r\n0\r\n\r\n'

const get = (target: string, headers = '', version = 'HTTP/1.1'): string =>
  `GET ${target} ${version}\r\nHost: a\r\n${J}${headers}\r\n`
const post = (headers: string, body: string, version = 'HTTP/1.1'): string =>
  `POST /public/p ${version}\r\nHost: a\r\n${J}${headers}\r\n${body}`

const REFUSED: Readonly<Record<string, string>> = {
  'HTTP/0.9': 'GET /public/x\r\n\r\n',
  nonsense: '\x16\x03\x01\x02\x00\r\n\r\n',
  'an absolute target': get('http://a/public/x'),
  'an absolute target of another host': get('http://b/public/x'),
  'a target without a slash': get('public/x'),
  'a star that is no server': get('*'),
  'a tunnel': `CONNECT a:80 HTTP/1.1\r\nHost: a\r\n${J}\r\n`,
  'two lengths': post('Content-Length: 3\r\nContent-Length: 5\r\n', 'hello'),
  'two lengths in one': post('Content-Length: 3, 5\r\n', 'hello'),
  'a length with a sign': post('Content-Length: +5\r\n', 'hello'),
  'a negative length': post('Content-Length: -5\r\n', 'hello'),
  'an empty length': post('Content-Length:\r\n', 'hello'),
  'a length beyond numbers': post('Content-Length: 99999999999999999999999\r\n', 'hello'),
  'a length in hexadecimal': post('Content-Length: 0x5\r\n', 'hello'),
  'a length of another name': post('Content_Length: 5\r\n', 'hello'),
  'an encoding and chunked': post('Transfer-Encoding: gzip, chunked\r\n', BODY),
  'chunked and identity': post('Transfer-Encoding: chunked, identity\r\n', BODY),
  'identity and a length': post('Transfer-Encoding: identity\r\nContent-Length: 5\r\n', 'hello'),
  'an unknown encoding': post('Transfer-Encoding: xchunked\r\n', BODY),
  'chunked twice': post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', BODY),
  'chunked in quotes': post('Transfer-Encoding: "chunked"\r\n', BODY),
  'a blank before the colon': post('Transfer-Encoding : chunked\r\n', BODY),
  'a vertical tab before chunked': post('Transfer-Encoding:\x0bchunked\r\n', BODY),
  'an encoding of another name': post('Transfer_Encoding: chunked\r\n', BODY),
  'an encoding in HTTP/1.0': post('Transfer-Encoding: chunked\r\n', BODY, 'HTTP/1.0'),
  'a name with a blank': get('/public/x', 'X Y: 1\r\n'),
  'a name that is empty': get('/public/x', ': 1\r\n'),
  'a line without a colon': get('/public/x', 'foo\r\n'),
  'a fold before any header': `GET /public/x HTTP/1.1\r\n X: 1\r\nHost: a\r\n${J}\r\n`,
  'a zero byte in a header': get('/public/x', 'X: a\0b\r\n'),
  'a carriage return in a header': get('/public/x', 'X: a\rContent-Length: 5\r\n'),
  'two hosts': get('/public/x', 'Host: b\r\n'),
  'no host': `GET /public/x HTTP/1.1\r\n${J}\r\n`,
  '64 KiB of a header': get('/public/x', `X: ${'x'.repeat(65_536)}\r\n`),
  'many headers': get('/public/x', 'X: 1\r\n'.repeat(500)),
  'a host that the next proxy is to take away': get('/public/x', 'Connection: close, Host\r\n'),
  'a length that the next proxy is to take away': post('Connection: content-length\r\nContent-Length: 5\r\n', 'hello'),
  'an encoding that the next proxy is to take away': post(
    'Connection: keep-alive, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n',
    BODY,
  ),
  'HTTP/2 in words': get('/public/x', '', 'HTTP/2.0'),
  'HTTP/1.2': get('/public/x', '', 'HTTP/1.2'),
  'a version with more': get('/public/x', '', 'HTTP/1.1x'),
  'an upper byte in the path': get('/public/\xe9'),
  'a control byte in the path': get('/public/\x01'),
  'WebSocket without a key': get('/public/x', 'Connection: upgrade\r\nUpgrade: websocket\r\n'),
  ...Object.fromEntries(
    [
      '/../secret',
      '/./x',
      '//x',
      '/%2e%2e/secret',
      '/%2fx',
      '/%5c..',
      '/\\..\\x',
      '/..;/secret',
      '/%',
      '/%252e',
      '/%00',
      '/x#y',
    ].map(path => [`the path ${path}`, get(`/public${path}`)]),
  ),
}

/** What reaches the server, without the headers of the test. */
const MADE_PLAIN: Readonly<Record<string, readonly [request: string, received: string]>> = {
  'bare line feeds': [get('/public/x').replaceAll('\r\n', '\n'), 'GET /public/x HTTP/1.1\r\nhost: a\r\n\r\n'],
  'a folded header': [
    get('/public/x', 'X: y\r\n\tz: k\r\n'),
    'GET /public/x HTTP/1.1\r\nhost: a\r\nx: y  \tz: k\r\n\r\n',
  ],
  'a header folded by a line feed': [
    get('/public/x', 'X: y\n z: k\r\n'),
    'GET /public/x HTTP/1.1\r\nhost: a\r\nx: y  z: k\r\n\r\n',
  ],
  'a header that begins with a fold': [
    get('/public/x', 'X:\r\n y\r\n'),
    'GET /public/x HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n',
  ],
  'tabs for blanks': [
    get('/public/x').replace('GET /public/x ', 'GET\t/public/x\t'),
    'GET /public/x HTTP/1.1\r\nhost: a\r\n\r\n',
  ],
  'a length and chunked': [
    post('Content-Length: 3\r\nTransfer-Encoding: chunked\r\n', BODY),
    `POST /public/p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${BODY}`,
  ],
  'chunked and a length': [
    post('Transfer-Encoding: chunked\r\nContent-Length: 3\r\n', BODY),
    `POST /public/p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${BODY}`,
  ],
  'chunked in a fold, and a length': [
    post('Transfer-Encoding:\r\n chunked\r\nContent-Length: 3\r\n', BODY),
    `POST /public/p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${BODY}`,
  ],
  'one length twice in one': [
    post('Content-Length: 5, 5\r\n', 'hello'),
    'POST /public/p HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello',
  ],
  'one length twice': [
    post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello'),
    'POST /public/p HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello',
  ],
  'one host twice': [get('/public/x', 'Host: a\r\n'), 'GET /public/x HTTP/1.1\r\nhost: a\r\n\r\n'],
  'extensions of chunks': [
    post('Transfer-Encoding: chunked\r\n', '5;a="b\r\nhello\r\n0;x\r\n\r\n'),
    `POST /public/p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${BODY}`,
  ],
  'chunked in capitals': [
    post('Transfer-Encoding: Chunked\r\n', BODY),
    `POST /public/p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${BODY}`,
  ],
  'line feeds in chunks': [
    post('Transfer-Encoding: chunked\r\n', '5\nhello\n0\n\n'),
    `POST /public/p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${BODY}`,
  ],
  'trailers of chunks': [
    post('Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n0\r\nX: y\n  z\nY:z\n\n'),
    'POST /public/p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n' +
      '5\r\nhello\r\n0\r\nx: y   z\r\ny: z\r\n\r\n',
  ],
  'an upgrade to HTTP/2': [
    get('/public/x', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'),
    'GET /public/x HTTP/1.1\r\nhost: a\r\n\r\n',
  ],
  'an upgrade to anything else': [
    get('/public/x', 'Connection: upgrade\r\nUpgrade: SPDY/3.1\r\n'),
    'GET /public/x HTTP/1.1\r\nhost: a\r\n\r\n',
  ],
  'empty lines before': [`\r\n\r\n${get('/public/x')}`, 'GET /public/x HTTP/1.1\r\nhost: a\r\n\r\n'],
  'all of the server': [get('*').replace('GET', 'OPTIONS'), 'OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n'],
}

const withoutTestHeaders = (bytes: string): string => bytes.replace(/test-.*?\r\n/g, '')

describe('requests that two parsers read differently', needsRoot, () => {
  let proxy: HttpProxy
  before(async () => {
    proxy = await HttpProxy.start({ sets: SETS })
  })
  after(async () => proxy?.[Symbol.asyncDispose]())

  test('are refused, with an event', async () => {
    for (const [name, request] of Object.entries(REFUSED)) {
      const { bytes } = await proxy.ask(request)
      assert.match(bytes, /^HTTP\/1\.1 4(00|22) /, name)
      assert.equal((await proxy.seen()).bytes, '', name)
    }
    const events = await proxy.events(Object.keys(REFUSED).length)
    // What followed a refused head may have been read as one more request.
    assert.ok(events.length >= Object.keys(REFUSED).length)
    for (const { verdict, reason } of events) assert.ok(verdict === 'ERROR' && reason !== undefined)
  })

  test('or made plain', async () => {
    for (const [name, [request, received]] of Object.entries(MADE_PLAIN)) {
      const { bytes } = await proxy.ask(request)
      assert.match(bytes, /^HTTP\/1\.1 200 /, name)
      const { bytes: seen } = await proxy.seen()
      assert.equal(withoutTestHeaders(seen), received, name)
      assert.equal(readStrictly(seen).length, 1, name)
    }
  })

  test('after a length beside chunked, nothing more is read on the connection', async () => {
    const both = post('Content-Length: 3\r\nTransfer-Encoding: chunked\r\n', BODY)
    const answer = await proxy.ask([both, get('/public/x')], { answers: 2 })
    assert.ok(answer.closed)
    assert.deepEqual((await proxy.seen()).targets, ['POST /public/p'])
  })

  test('a chunk of a wrong length ends the request', async () => {
    for (const body of ['0x5\r\nhello\r\n0\r\n\r\n', '-5\r\n', 'g\r\n', '5\r\nhelloX\r\n', 'fffffffffffffffff\r\n']) {
      await proxy.ask(post('Transfer-Encoding: chunked\r\n', body + get('/secret')))
      assert.doesNotMatch((await proxy.seen()).bytes, /secret/, body)
    }
  })

  test('a server that changes protocols unasked is not followed', async () => {
    const sets = judgedBy(0, 0)
    const answer = await proxy.ask(`GET /switch HTTP/1.1\r\nHost: a\r\n${sets}\r\n`)
    assert.match(answer.bytes, /^HTTP\/1\.1 502/)
  })

  const secret = get('/secret')
  const ending = fc.constantFrom('\r\n', '\r\n', '\r\n', '\n', '\r', '\r\r\n')
  const header = fc.constantFrom(
    'Content-Length: 0',
    'Content-Length: 5',
    `Content-Length: ${secret.length}`,
    `Content-Length: ${secret.length + 5}`,
    'Content-Length: 5, 5',
    'content-length:5',
    'Content-Length : 5',
    ' Content-Length: 5',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding:chunked',
    'Transfer-Encoding: Chunked',
    'Transfer-Encoding: chunked, chunked',
    'Transfer-Encoding: identity',
    'Transfer-Encoding: \tchunked ',
    'Transfer-Encoding: x\r\n chunked',
    'Transfer-Encoding\x00: chunked',
    'Connection: close',
    'Connection: keep-alive, Transfer-Encoding',
    'Connection: upgrade',
    'Upgrade: h2c',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Expect: 100-continue',
    'X: y',
    ' folded',
    'X-HTTP-Method-Override: DELETE',
  )
  const line = fc.constantFrom(
    'GET /public/x HTTP/1.1',
    'POST /public/x HTTP/1.1',
    'POST /public/x HTTP/1.0',
    'GET /public/x',
    'GET /secret HTTP/1.1',
    'HEAD /public/x HTTP/1.1',
    'GET http://a/secret HTTP/1.1',
    'GET /public/x HTTP/1.1\r\nX: GET /secret HTTP/1.1',
    'GET /public/x HTTP/1.1 HTTP/1.1',
  )
  const body = fc.constantFrom(
    '',
    'hello',
    BODY,
    secret,
    `0\r\n\r\n${secret}`,
    `5\r\nhello\r\n0\r\n\r\n${secret}`,
    `5;\n${BODY}`,
  )
  const message = fc
    .tuple(line, fc.array(fc.tuple(header, ending), { maxLength: 4 }), ending, body)
    .map(([line, headers, end, body]) => {
      const lines = headers.map(([text, ending]) => text + ending).join('')
      return `${line}\r\nHost: a\r\n${J}${lines}${end}${body}`
    })

  test('no mixture of their pieces takes a denied request to the server', async () => {
    await proxy.seen()
    let allowed = 0
    await fc.assert(
      fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 3 }), async messages => {
        await proxy.ask(messages.join(''), { answers: 9, silenceMs: 25 })
        const { targets, bytes } = await proxy.seen()
        allowed += targets.length
        // As the most lenient of servers reads them, and as the strictest does.
        for (const target of [...targets, ...readStrictly(bytes)])
          assert.match(target, /^[A-Za-z]+ \/public\/x$/, bytes)
      }),
      { numRuns: 300 },
    )
    assert.ok(allowed > 0)
  })
})
