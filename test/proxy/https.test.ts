// HTTP inside of TLS that ends at HAProxy, begins there, or both: between a real client and
// real servers, with certificates that are right and some that are not.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { after, before, test } from 'node:test'
import type { HttpRule, L7RuleSet, ServerNameRule } from '../../src/policy/index.ts'
import type { TlsContextFiles } from '../../src/proxy/haproxy/options.ts'
import { needsRoot } from '../bpf/support.ts'
import { CLIENT } from './http-network.ts'
import type { HttpsRequest } from './https-client-program.ts'
import { type Asked, HttpsProxy, PORTS } from './https-proxy.ts'
import type { Reached } from './https-server-program.ts'

let proxy: HttpsProxy
before(async () => {
  if (!needsRoot) proxy = await HttpsProxy.start()
})
after(() => proxy?.[Symbol.asyncDispose]())

const rule = (content: Partial<HttpRule>): HttpRule => ({ rule: 'r', field: 'f', headers: [], ...content })
const name = (serverName: string): ServerNameRule => ({ rule: 'r', field: 's', serverName })
const set = (number: number, rules: readonly HttpRule[], serverNames: readonly ServerNameRule[] = []): L7RuleSet => ({
  number,
  rules: { parser: 'http', rules, serverNames },
})
const OPEN = set(1, [rule({ path: '/open.*' })])
const GET_ALL = set(2, [rule({ method: 'GET' })])

const terminating = (): TlsContextFiles => ({ terminating: { certificate: proxy.path('proxy.pem') } })
const originating = (): TlsContextFiles => ({ originating: { trustedCa: proxy.path('authority.crt') } })
const both = (): TlsContextFiles => ({ ...terminating(), ...originating() })

const get = (path: string, content: Partial<HttpsRequest> = {}): HttpsRequest => ({
  path,
  host: 'web.test',
  ...content,
})
const grpc = (path: string): HttpsRequest =>
  get(path, { method: 'POST', headers: { 'content-type': 'application/grpc' }, bodyBytes: 5 })
const inTls = (content: Asked['tls'] = {}): Pick<Asked, 'tls'> => ({
  tls: { serverName: 'web.test', authority: proxy.path('authority'), ...content },
})
const reached = (body: string | undefined): Reached => JSON.parse(body ?? '{}') as Reached

for (const { about, context, port, tls, want } of [
  { about: 'ends', context: terminating, port: PORTS.plain, tls: true, want: { version: '1.1' } },
  {
    about: 'begins',
    context: originating,
    port: PORTS.secure,
    tls: false,
    want: { version: '1.1', serverName: 'web.test' },
  },
  {
    about: 'ends and begins',
    context: both,
    port: PORTS.secure,
    tls: true,
    want: { version: '1.1', serverName: 'web.test' },
  },
] as const)
  for (const family of [4, 6] as const)
    test(`TLS ${about} at the proxy: requests are judged on one connection, IPv${family}`, {
      skip: needsRoot,
    }, async () => {
      await proxy.serve(context(), [OPEN])
      const requests = [get('/open/a'), get('/closed'), get('/open/b')]
      const asked: Asked = { port, protocol: 'http1', ...(tls && inTls()), requests }
      const { answers, error, trusted } = await proxy.ask(asked, family)
      assert.equal(error, undefined)
      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 403, 200],
      )
      if (tls) assert.equal(trusted, true)
      assert.deepEqual(reached(answers[0]?.body), { path: '/open/a', address: CLIENT[family], body: 0, ...want })
      const events = await proxy.events(3)
      assert.deepEqual(
        events.map(({ verdict, content }) => [verdict, 'scheme' in content && content.scheme]),
        ['FORWARDED', 'DROPPED', 'FORWARDED'].map(verdict => [verdict, tls ? 'https' : 'http']),
      )
    })

test('HTTP/2 is spoken as the client chose it, gRPC is denied in its own words', { skip: needsRoot }, async () => {
  await proxy.serve(both(), [OPEN])
  const requests = [get('/open/a'), get('/closed'), grpc('/closed.Service/Call'), grpc('/open.Service/Call')]
  const { answers, error } = await proxy.ask({ port: PORTS.secure, protocol: 'http2', ...inTls(), requests })
  assert.equal(error, undefined)
  assert.deepEqual(
    answers.map(({ status, headers }) => [status, headers['grpc-status']]),
    [
      [200, undefined],
      [403, undefined],
      [200, '7'],
      [200, undefined],
    ],
  )
  assert.equal(reached(answers[0]?.body).version, '2.0')
  const older = await proxy.ask({ port: PORTS.secureHttp1, protocol: 'http2', ...inTls(), requests: [get('/open/a')] })
  assert.equal(reached(older.answers[0]?.body).version, '1.1', 'as the server can')
})

test('a server without TLS is spoken to in HTTP/1.1, in gRPC by HTTP/2', { skip: needsRoot }, async () => {
  await proxy.serve(terminating(), [OPEN])
  const older = await proxy.ask({ port: PORTS.plain, protocol: 'http2', ...inTls(), requests: [get('/open/a')] })
  assert.equal(reached(older.answers[0]?.body).version, '1.1')
  const newer = await proxy.ask({ port: PORTS.plainHttp2, protocol: 'http2', ...inTls(), requests: [grpc('/open/a')] })
  assert.equal(reached(newer.answers[0]?.body).version, '2.0')
})

for (const { about, port, host } of [
  { about: 'with the certificate of another name', port: PORTS.wrongName, host: 'web.test' },
  { about: 'with a certificate of an unknown authority', port: PORTS.unknown, host: 'web.test' },
  { about: 'that is asked for another name than its own', port: PORTS.secure, host: 'elsewhere.test:443' },
  { about: 'without TLS', port: PORTS.plain, host: 'web.test' },
  { about: 'that wants a certificate', port: PORTS.mutual, host: 'web.test' },
])
  test(`a server ${about} gets nothing`, { skip: needsRoot }, async () => {
    await proxy.serve(originating(), [set(1, [rule({})])])
    await proxy.had()
    const requests = [get('/secret', { host, method: 'POST', bodyBytes: 1000 })]
    const { answers } = await proxy.ask({ port, protocol: 'http1', requests })
    assert.ok([502, 503].includes(answers[0]?.status ?? 0), String(answers[0]?.status))
    const { requests: count, bodyBytes } = await proxy.had()
    assert.deepEqual([count, bodyBytes], [0, 0])
    const [event] = await proxy.events(1)
    assert.equal(event?.verdict, 'ERROR')
    assert.match(event.reason ?? '', /certificate|answer/)
  })

test('without the name of a host nothing is verified, so nothing is sent', { skip: needsRoot }, async () => {
  await proxy.serve(originating(), [set(1, [rule({})])])
  await proxy.had()
  // TLS has no room to ask for so long a name, and would ask for none.
  const tooLong = 'web.'.repeat(64).slice(0, -1)
  for (const host of ['10.9.2.2', '[fd09:2::2]:443', '10.9.2.2:443', tooLong, 'other.test,web.test']) {
    const { answers } = await proxy.ask({ port: PORTS.secure, protocol: 'http1', requests: [get('/a', { host })] })
    assert.equal(answers[0]?.status, 502, host)
    const [event] = await proxy.events(1)
    assert.match(event?.reason ?? '', /names no host/)
  }
  assert.equal((await proxy.had()).handshakes, 0)
})

test('the name that the client asked for counts before that of its request', { skip: needsRoot }, async () => {
  await proxy.serve(both(), [OPEN])
  const ask = async (serverName: string, host: string) =>
    (
      await proxy.ask({
        port: PORTS.secure,
        protocol: 'http1',
        ...inTls({ serverName }),
        requests: [get('/open', { host })],
      })
    ).answers[0]?.status
  assert.equal(await ask('web.test', 'elsewhere.test'), 200)
  assert.equal(await ask('elsewhere.test', 'web.test'), 503)
})

test('authorities may be as many as a system has', { skip: needsRoot }, async () => {
  const whole = fs.readFileSync('/etc/ssl/certs/ca-certificates.crt', 'utf8')
  assert.ok(whole.length > 200_000)
  const requests = [get('/open')]
  const trustedCa = proxy.path('bundle.crt')
  fs.writeFileSync(trustedCa, whole + fs.readFileSync(proxy.path('authority.crt'), 'utf8'))
  await proxy.serve({ originating: { trustedCa } }, [OPEN])
  assert.equal((await proxy.ask({ port: PORTS.secure, protocol: 'http1', requests })).answers[0]?.status, 200)
  await proxy.serve({ originating: { trustedCa: '/etc/ssl/certs/ca-certificates.crt' } }, [OPEN])
  assert.equal((await proxy.ask({ port: PORTS.secure, protocol: 'http1', requests })).answers[0]?.status, 503)
})

test('a certificate is shown to servers that want one', { skip: needsRoot }, async () => {
  const { originating: { trustedCa = '' } = {} } = originating()
  await proxy.serve({ originating: { trustedCa, certificate: proxy.path('client.pem') } }, [OPEN])
  const { answers } = await proxy.ask({ port: PORTS.mutual, protocol: 'http1', requests: [get('/open')] })
  assert.equal(reached(answers[0]?.body).client, 'client.test')
})

test('clients that have to show a certificate are refused without', { skip: needsRoot }, async () => {
  const certificate = proxy.path('proxy.pem')
  await proxy.serve({ terminating: { certificate, trustedCa: proxy.path('authority.crt') } }, [OPEN])
  const ask = (content: Asked['tls']) =>
    proxy.ask({ port: PORTS.plain, protocol: 'http1', ...inTls(content), requests: [get('/open')] })
  assert.equal((await ask({ certificate: proxy.path('client') })).answers[0]?.status, 200)
  for (const content of [{}, { certificate: proxy.path('strange') }]) {
    const { answers, error } = await ask(content)
    assert.deepEqual(answers, [])
    assert.ok(error, 'the connection fails')
  }
  const told = await proxy.events(3)
  assert.deepEqual(
    told.map(({ verdict, reason }) => [verdict, reason?.slice(0, 26)]),
    [
      ['FORWARDED', undefined],
      ['ERROR', 'TLS with the client failed'],
      ['ERROR', 'TLS with the client failed'],
    ],
  )
  assert.equal(told[1]?.opener.address, CLIENT[4])
})

test('names of servers are judged before requests are', { skip: needsRoot }, async () => {
  const named = set(1, [rule({ path: '/open.*' })], [name('web.test'), name('*.shop.test')])
  await proxy.serve(terminating(), [named, GET_ALL, set(3, [rule({})], [name('other.test')])])
  await proxy.had()
  const ask = async (serverName: string | undefined, path = '/open') => {
    const tls = inTls(serverName === undefined ? {} : { serverName })
    if (serverName === undefined) delete (tls.tls as { serverName?: string }).serverName
    const { answers, error } = await proxy.ask({ port: PORTS.plain, protocol: 'http1', ...tls, requests: [get(path)] })
    return answers[0]?.status ?? error
  }
  assert.equal(await ask('web.test'), 200)
  assert.equal(await ask('WEB.test'), 200)
  assert.equal(await ask('a.shop.test'), 200)
  assert.equal(await ask('web.test', '/closed'), 403)
  await proxy.events(4)
  for (const wrong of ['elsewhere.test', 'a.b.shop.test', undefined]) {
    assert.equal(await ask(wrong), 'ECONNRESET', wrong)
    const [event] = await proxy.events(1)
    assert.deepEqual([event?.verdict, event?.deniedBy], ['DROPPED', 'egress'])
  }
  await proxy.judgeBy(2, 0)
  assert.equal(await ask('elsewhere.test'), 200, 'rules without names')
  await proxy.judgeBy(1, 3)
  assert.equal(await ask('web.test'), 'ECONNRESET', 'of both ends')
  assert.deepEqual((await proxy.had()).requests, 4)
})
