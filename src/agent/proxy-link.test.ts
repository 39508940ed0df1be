// The agent's link to a proxy, over a real socket: what it judged comes to the agent, also
// what came while nobody listened, and after either of the two was started again.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { type ApiServer, ProxyClient, serveApi } from '../api/index.ts'
import { RequestObserver } from '../observe/index.ts'
import { l7Event } from '../observe/testing/l7-events.ts'
import { ProxyLink } from './proxy-link.ts'

/** A proxy that keeps lines until somebody has taken them. */
class FakeProxy {
  readonly waiting: unknown[] = []
  readonly #file: string
  #server: ApiServer | undefined
  readonly #streams: Promise<void>[] = []
  #wake = (): void => undefined

  constructor(file: string) {
    this.#file = file
  }

  async start(): Promise<void> {
    this.#server = await serveApi(this.#file, [
      { method: 'GET', path: /\/v1\/status/, answer: () => ({ ready: true }) },
      {
        method: 'GET',
        path: /\/v1\/events/,
        stream:
          ({ signal }) =>
          send => {
            const streaming = this.#tellAll(send, signal)
            this.#streams.push(streaming)
            return streaming
          },
      },
    ])
  }

  async #tellAll(send: (line: unknown) => Promise<void>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const line of this.waiting.splice(0)) await send(line)
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      signal.addEventListener('abort', () => resolve(), { once: true })
      await promise
    }
  }

  tell(...lines: readonly unknown[]): void {
    this.waiting.push(...lines)
    this.#wake()
  }

  async stop(): Promise<void> {
    await this.#server?.close()
    this.#server = undefined
    await Promise.all(this.#streams.splice(0))
  }
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    assert.ok(tries < 1000, 'it did not come')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

function setup(t: TestContext) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-link-'))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  const file = path.join(folder, 'proxy.sock')
  const startAgent = () => {
    const requests = new RequestObserver()
    const seen = { there: 0 }
    const link = new ProxyLink({
      client: new ProxyClient(file),
      onThere: () => seen.there++,
      onLines: lines => requests.takeLines(lines),
    })
    const stop = new AbortController()
    const running = link.run(stop.signal)
    const end = async (): Promise<void> => {
      stop.abort()
      await running
    }
    t.after(end)
    return { requests, seen, link, end }
  }
  return { proxy: new FakeProxy(file), startAgent }
}

test('requests come from a proxy that starts late, goes and comes again', { timeout: 20_000 }, async t => {
  const { proxy, startAgent } = setup(t)
  const { requests, seen, link } = startAgent()
  assert.equal((await link.view()).ready, false)
  proxy.tell(l7Event(), { missed: 3 })
  await proxy.start()
  await until(() => requests.received === 1)
  proxy.tell(l7Event(), l7Event({ verdict: 'DROPPED' }))
  await until(() => requests.received === 3)
  await proxy.stop()
  proxy.tell(l7Event())
  await proxy.start()
  t.after(() => proxy.stop())
  await until(() => requests.received === 4)
  assert.deepEqual([requests.lost, seen.there, (await link.view()).ready], [3, 2, true])
})

test('an agent that is started again goes on where the other ended', { timeout: 20_000 }, async t => {
  const { proxy, startAgent } = setup(t)
  await proxy.start()
  t.after(() => proxy.stop())
  const first = startAgent()
  proxy.tell(l7Event())
  await until(() => first.requests.received === 1)
  await first.end()
  // The proxy learns of the end in its own time.
  await new Promise(resolve => setTimeout(resolve, 50))
  proxy.tell(l7Event(), l7Event())
  const second = startAgent()
  await until(() => second.requests.received === 2)
  assert.equal(first.requests.received, 1)
})
