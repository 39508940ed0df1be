// Streams of HTTP/2 take a descriptor each, as connections do: a client that holds all that
// it can get leaves others theirs, and the process what it needs.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { PROXY_ANSWER } from '../../src/http/index.ts'
import { PORT, SERVER, startInside } from './http-network.ts'
import { HttpProxy, judgedBy, needsRoot } from './http-proxy.ts'
import type { Http2Answer } from './http2-client-program.ts'

const FREE = { 'test-egress': String(PROXY_ANSWER), 'test-ingress': String(PROXY_ANSWER) }

/** One connection, whose streams stay open when they are held. */
class Connection implements AsyncDisposable {
  readonly #child: ReturnType<typeof startInside>
  readonly #answers: AsyncIterator<string>

  constructor(proxy: HttpProxy, { family, streams }: { readonly family: 4 | 6; readonly streams: 'held' | 'brief' }) {
    const host = family === 4 ? SERVER[4] : `[${SERVER[6]}]`
    const args = [`http://${host}:${PORT.http2}`, streams]
    this.#child = startInside(proxy.network.client, 'http2-client-program.ts', args)
    this.#answers = createInterface(this.#child.stdout)[Symbol.asyncIterator]()
  }

  /** Opens streams. @returns how many were answered with which status, in the end */
  async open(count: number): Promise<Record<string, number>> {
    const line = `${JSON.stringify({ headers: { ':path': '/', ...FREE } })}\n`
    this.#child.stdin.write(line.repeat(count))
    const statuses: Record<string, number> = {}
    for (let answered = 0; answered < count; answered++) {
      const { value } = await this.#answers.next()
      const status = String((JSON.parse(value ?? '{}') as Http2Answer).headers[':status'])
      statuses[status] = (statuses[status] ?? 0) + 1
    }
    return statuses
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end()
    await once(this.#child, 'exit')
  }
}

const descriptorsOf = (pid: number): number => fs.readdirSync(`/proc/${pid}/fd`).length

test('a client that holds streams leaves others theirs', needsRoot, async () => {
  const maxConnections = 40
  await using proxy = await HttpProxy.start({ maxConnections })
  const before = descriptorsOf(proxy.haproxyPid)
  await using greedy = new Connection(proxy, { family: 4, streams: 'held' })
  // Three quarters of 80 descriptors, of which its connection takes two.
  assert.deepEqual(await greedy.open(90), { 200: 58, 503: 32 })
  const taken = descriptorsOf(proxy.haproxyPid) - before
  assert.ok(taken <= 2 * maxConnections, `${taken} descriptors`)

  await using other = new Connection(proxy, { family: 6, streams: 'held' })
  assert.deepEqual(await other.open(10), { 200: 10 })
  const request = `GET / HTTP/1.1\r\nHost: a\r\n${judgedBy(0, 0)}\r\n`
  assert.match((await proxy.ask(request, { family: 6 })).bytes, /^HTTP\/1\.1 200/)
  assert.equal((await proxy.ask(request)).bytes, '', 'streams count where it opens connections')
})

test('streams that ended are not counted, and leave their descriptors', needsRoot, async () => {
  await using proxy = await HttpProxy.start({ maxConnections: 40 })
  const before = descriptorsOf(proxy.haproxyPid)
  await using brief = new Connection(proxy, { family: 4, streams: 'brief' })
  for (let round = 0; round < 3; round++) assert.deepEqual(await brief.open(50), { 200: 50 })
  const taken = descriptorsOf(proxy.haproxyPid) - before
  assert.ok(taken <= 2, `${taken} descriptors`)
})
