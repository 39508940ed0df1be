// TLS contexts under the supervisor as a process: who is started for which Secrets, what
// becomes of open connections when one changes, and what is there after a restart. The
// kernel knows no connection here, so every request is denied: by whom, is what counts.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import type { ProxyStatus, SecretValueRow } from '../../src/api/index.ts'
import type { Datapath } from '../../src/maps/index.ts'
import type { L7RuleSet, TlsContext } from '../../src/policy/index.ts'
import { needsRoot } from '../bpf/support.ts'
import { makeAuthority, makeSigned } from './certificates.ts'
import { startInside } from './http-network.ts'
import type { HttpsCommand, HttpsRequest, HttpsResult } from './https-client-program.ts'
import { TestProxy, until } from './supervisor-process.ts'

const context = (name: string): TlsContext => ({
  secret: { namespace: 'shop', name },
  certificate: 'tls.crt',
  privateKey: 'tls.key',
  trustedCa: 'ca.crt',
})
const set = (number: number, ends: { terminating?: TlsContext; originating?: TlsContext }): L7RuleSet => ({
  number,
  rules: { parser: 'http', rules: [{ rule: 'r', field: 'f', headers: [] }], serverNames: [], ...ends },
})
const WEB = set(7, { terminating: context('web') })

class Contexts {
  readonly proxy: TestProxy
  readonly datapath: Datapath
  readonly #client: ReturnType<typeof startInside>
  readonly #waiting = new Map<number, (result: HttpsResult) => void>()
  #nextId = 0

  constructor(t: TestContext) {
    this.proxy = new TestProxy(t)
    this.datapath = this.proxy.load()
    this.#client = startInside(this.proxy.namespace, 'https-client-program.ts', [])
    createInterface(this.#client.stdout).on('line', line => {
      const result = JSON.parse(line) as HttpsResult
      this.#waiting.get(result.id)?.(result)
    })
    t.after(async () => {
      this.datapath.close()
      this.#client.kill('SIGKILL')
      await once(this.#client, 'exit')
    })
    makeAuthority(this.path('authority'))
  }

  path(name: string): string {
    return path.join(this.proxy.state, name)
  }

  /** A certificate for a host, as the keys of Secret `web`. */
  secret(host: string, name = 'web'): SecretValueRow {
    makeSigned(this.path(host), this.path('authority'), host)
    const read = (ending: string): string => fs.readFileSync(this.path(`${host}.${ending}`), 'utf8')
    return { namespace: 'shop', name, keys: { 'tls.crt': read('crt'), 'tls.key': read('key') } }
  }

  /** Where TLS contexts listen over IPv4. */
  async ports(): Promise<number[]> {
    const { sockets } = await this.proxy.client.status()
    return sockets.filter(({ kind, family }) => kind === 'HTTPS' && family === 4).map(({ port }) => port)
  }

  async ask(port: number, requests: readonly HttpsRequest[]): Promise<HttpsResult> {
    const id = this.#nextId++
    const command: HttpsCommand = { id, address: '127.0.0.1', port, protocol: 'http1', tls: {}, requests }
    this.#client.stdin.write(`${JSON.stringify(command)}\n`)
    return new Promise(resolve => this.#waiting.set(id, resolve))
  }

  slotOf(number: number): number | undefined {
    return this.datapath.maps.tls_contexts.get(number)
  }
}

const request = (after?: string): HttpsRequest => ({ path: '/', host: 'web.test', ...(after && { after }) })
const https = ({ servers }: ProxyStatus) => servers.filter(({ name }) => name.startsWith('https-'))

test('a context has a server with its keys alone, which only HAProxy can read', { skip: needsRoot }, async t => {
  const contexts = new Contexts(t)
  const { client, state } = contexts.proxy
  contexts.proxy.start()
  await contexts.proxy.status(({ ready }) => ready)
  await client.replaceSecrets([contexts.secret('web.test')])
  const { failures } = await client.changeRuleSets({ add: [WEB, set(8, { terminating: context('web') })], remove: [] })
  assert.deepEqual(failures, [])
  assert.deepEqual([contexts.slotOf(7), contexts.slotOf(8)], [0, 0], 'as it is answered')
  const status = await client.status()
  assert.deepEqual(
    https(status).map(({ name, state, tls, drains }) => [name, state, tls, drains]),
    [['https-1', 'serving', 'terminating by shop/web', undefined]],
  )
  assert.ok(
    !status.servers.some(({ name, state }) => name === 'haproxy' && state !== 'idle'),
    'the sets are of no other',
  )
  const [port = 0] = await contexts.ports()
  const { answers, peer } = await contexts.ask(port, [request()])
  assert.deepEqual([answers[0]?.status, peer], [403, 'web.test'])
  const folder = path.join(state, 'https-1', 'certificates')
  assert.deepEqual(fs.readdirSync(folder), ['terminating.pem'])
  assert.equal(fs.statSync(path.join(folder, 'terminating.pem')).mode & 0o777, 0o640)
  assert.equal(fs.statSync(path.join(folder, 'terminating.pem')).uid, 0)

  await client.changeRuleSets({ add: [], remove: [7, 8] })
  assert.deepEqual([contexts.slotOf(7), contexts.slotOf(8)], [undefined, undefined])
  await until('the server to end', async () => https(await client.status()).length === 0)
  assert.equal(fs.existsSync(path.dirname(folder)), false, 'keys go with the process')
})

test('a Secret that changes leaves open connections where they are', { skip: needsRoot }, async t => {
  const contexts = new Contexts(t)
  const { client } = contexts.proxy
  contexts.proxy.start()
  await contexts.proxy.status(({ ready }) => ready)
  await client.replaceSecrets([contexts.secret('web.test')])
  await client.changeRuleSets({ add: [WEB], remove: [] })
  const [first = 0] = await contexts.ports()
  const whole = contexts.path('rotated')
  const open = contexts.ask(first, [request(), request(whole)])
  await until('the connection to be known', async () => (await client.status()).events.received > 0)

  await client.replaceSecrets([contexts.secret('new.test')])
  assert.equal(contexts.slotOf(7), 1)
  const states = https(await client.status()).map(({ name, drains }) => [name, drains])
  assert.deepEqual(states, [
    ['https-1', true],
    ['https-2', undefined],
  ])
  const second = (await contexts.ports()).find(port => port !== first) ?? 0
  assert.equal((await contexts.ask(second, [request()])).peer, 'new.test')

  fs.writeFileSync(whole, '')
  const { answers, error, peer } = await open
  assert.deepEqual([answers.map(({ status }) => status), error, peer], [[403, 403], undefined, 'web.test'])
  await until('the server before to end', async () => https(await client.status()).length === 1)
  assert.equal(https(await client.status())[0]?.name, 'https-2')
})

test('what a Secret does not give is told, and nobody is led anywhere', { skip: needsRoot }, async t => {
  const contexts = new Contexts(t)
  const { client } = contexts.proxy
  contexts.proxy.start()
  await contexts.proxy.status(({ ready }) => ready)
  const right = contexts.secret('web.test')
  const other = contexts.secret('other.test')
  const told = async (rows: SecretValueRow[]) => {
    await client.replaceSecrets(rows)
    assert.equal(contexts.slotOf(7), undefined)
    const { failures } = await client.changeRuleSets({ add: [WEB], remove: [] })
    return failures.map(({ number, error }) => `${number}: ${error}`)
  }
  const row = (keys: Record<string, string>): SecretValueRow => ({ namespace: 'shop', name: 'web', keys })
  assert.deepEqual(await told([]), ['7: terminatingTLS: Secret shop/web is not there, or cannot be used'])
  const { 'tls.crt': certificate = '', 'tls.key': key = '' } = right.keys ?? {}
  for (const [keys, want] of [
    [{ 'tls.crt': certificate }, 'key tls.key of Secret shop/web is not there'],
    [{ 'tls.crt': 'garbage', 'tls.key': key }, 'key tls.crt of Secret shop/web holds no certificates in PEM'],
    [
      { 'tls.crt': certificate, 'tls.key': 'secret' },
      'key tls.key of Secret shop/web holds no private key in PEM, or one that is encrypted',
    ],
    [
      { 'tls.crt': certificate, 'tls.key': other.keys?.['tls.key'] ?? '' },
      'key tls.key of Secret shop/web is not the private key of tls.crt',
    ],
    [
      { 'tls.crt': certificate, 'tls.key': key, 'ca.crt': 'garbage' },
      'key ca.crt of Secret shop/web holds no certificates in PEM',
    ],
  ] as const)
    assert.deepEqual(await told([row({ ...keys })]), [`7: terminatingTLS: ${want}`])
  assert.deepEqual(https(await client.status()), [])

  await client.replaceSecrets([right])
  assert.equal(contexts.slotOf(7), 0, 'without another word about the set')
  const { failed } = (await client.status()).ruleSets
  assert.deepEqual(failed, [])

  await client.replaceSecrets([])
  assert.equal(contexts.slotOf(7), undefined, 'a Secret that is gone is used for nobody')
})

test('after SIGKILL contexts are there again, without anybody asking', { skip: needsRoot }, async t => {
  const contexts = new Contexts(t)
  const { client, state } = contexts.proxy
  contexts.proxy.start()
  await contexts.proxy.status(({ ready }) => ready)
  await client.replaceSecrets([contexts.secret('web.test'), contexts.secret('api.test', 'api')])
  const api = set(9, { terminating: context('api') })
  await client.changeRuleSets({ add: [WEB, api], remove: [] })
  await client.changeRuleSets({ add: [], remove: [7] })
  assert.equal(contexts.slotOf(9), 1)
  await contexts.proxy.end('SIGKILL')
  contexts.proxy.start()
  await contexts.proxy.status(status => status.ready && https(status).some(({ state }) => state === 'serving'))
  await until('connections to be led again', () => contexts.slotOf(9) === 0)
  assert.equal(contexts.slotOf(7), undefined)
  assert.equal(fs.existsSync(path.join(state, 'https-2')), false)
  const [port = 0] = await contexts.ports()
  assert.equal((await contexts.ask(port, [request()])).peer, 'api.test')
})
