// Which requests of HTTP events tell of, and what of them, as the options of the proxy have it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HttpProxy, httpSet, judgedBy, needsRoot, triedOut } from './http-proxy.ts'

const SETS = [
  httpSet(1, { method: 'GET', path: '/public/.*' }, { path: '/any' }),
  httpSet(5, { path: '/hello', headers: [{ name: 'x-log', value: 'right', mismatch: 'log' }] }),
  triedOut(httpSet(7, { method: 'GET', path: '/public/.*' })),
]

const get = (path: string, sets: readonly [number, number], headers = '', host = 'web.example.com'): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${judgedBy(...sets)}${headers}\r\n`

const byText = (a: unknown, b: unknown): number => (String(a) < String(b) ? -1 : 1)

test('events tell the headers that are asked for', needsRoot, async () => {
  await using proxy = await HttpProxy.start({ sets: SETS, toldHeaders: ['x-team', 'user-agent'] })
  await proxy.ask(get('/public/a', [1, 0], 'X-Team: "red" \\ %[src]\r\nCookie: c\r\n'))
  await proxy.ask(get('/no', [1, 0], `User-Agent: ${'u'.repeat(300)}\r\n`))
  await proxy.ask(get('/public/b', [1, 0]))
  await proxy.ask('nonsense\r\n\r\n')
  const told = (await proxy.events(4)).map(
    ({ content }) => content.parser === 'http' && [content.path, content.headers],
  )
  assert.deepEqual(told.sort(byText), [
    ['', undefined],
    ['/no', [{ name: 'user-agent', value: 'u'.repeat(128) }]],
    ['/public/a', [{ name: 'x-team', value: '"red" \\ %[src]' }]],
    ['/public/b', undefined],
  ])
})

test('no request makes its line too long to be told', needsRoot, async () => {
  const names = Array.from({ length: 16 }, (_, i) => `x-${'n'.repeat(59)}-${i}`)
  await using proxy = await HttpProxy.start({ sets: SETS, toldHeaders: names })
  const host = `${'"'.repeat(250)}.a`
  for (const value of ['"'.repeat(128), Buffer.from('é'.repeat(64)).toString('latin1')]) {
    const headers = names.map(name => `${name}: ${value}\r\n`).join('')
    await proxy.ask(get(`/public/${'"'.repeat(2100)}`, [1, 0], headers, host))
  }
  assert.equal((await proxy.events(2)).length, 2)
})

test('where only denials are wanted, what is allowed and answered makes no event', needsRoot, async () => {
  await using proxy = await HttpProxy.start({ sets: SETS, told: 'denied' })
  for (const path of ['/public/a', '/public/b']) await proxy.ask(get(path, [1, 0]))
  await proxy.ask(get('/no', [0, 1]))
  await proxy.ask(get('/no', [0, 7]))
  await proxy.ask(get('/hello', [5, 0], 'X-Log: wrong\r\n'))
  await proxy.ask('nonsense\r\n\r\n')
  await proxy.ask(get('/', [0, 0]), { port: 82 })
  const told = (await proxy.events(5)).map(({ verdict, content }) => [
    verdict,
    content.parser === 'http' && content.path,
  ])
  // Several threads tell of them.
  assert.deepEqual(told.sort(byText), [
    ['AUDIT', '/no'],
    ['DROPPED', '/no'],
    ['ERROR', ''],
    ['ERROR', '/'],
    ['FORWARDED', '/hello'],
  ])
})
