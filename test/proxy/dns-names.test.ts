// Answers that teach addresses, with an agent that this test plays: who asked hears of
// them when the agent has them in force.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type ApiServer, datapathName, NameHandover, serveApi } from '../../src/api/index.ts'
import { type NamesAnswer, type TaughtName, taughtNames } from '../../src/dns/index.ts'
import { ip } from '../../src/ip/index.ts'
import { ipcacheQuestion, worldEntries } from '../../src/maps/index.ts'
import { FolderLock } from '../../src/sys/folder-lock.ts'
import { needsRoot } from '../net/fixture.ts'
import { DnsNode, POD, SERVER } from './dns-node.ts'

const ANSWER: NamesAnswer = { selectorsRevision: '1', selectors: ['*.held.example'] }

/** Of IPv4. */
const WORLD = 9

/** An agent that answers when it is told to. */
class StubAgent {
  readonly socket = path.join(mkdtempSync(path.join(tmpdir(), 'axo-dns-')), 'agent.sock')
  readonly taught: TaughtName[] = []
  /** Resolves when the next names may be in force. */
  mayAnswer: Promise<void> = Promise.resolve()
  #server: ApiServer | undefined

  async start(): Promise<void> {
    const answer = async ({ body }: { body: unknown }): Promise<NamesAnswer> => {
      const { names } = taughtNames.parse(body)
      if (names.length > 0) await this.mayAnswer
      this.taught.push(...names)
      return ANSWER
    }
    this.#server = await serveApi(this.socket, [{ method: 'POST', path: /\/v1\/names/, answer }])
  }

  async stop(): Promise<void> {
    await this.#server?.close()
    this.#server = undefined
  }

  async told(name: string): Promise<TaughtName> {
    for (let tries = 0; tries < 500; tries++) {
      const found = this.taught.find(taught => taught.name === name)
      if (found) return found
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    throw new Error(`the agent was never told of ${name}`)
  }

  remove(): void {
    rmSync(path.dirname(this.socket), { recursive: true, force: true })
  }
}

describe('what answers of DNS teach', needsRoot, () => {
  const agent = new StubAgent()
  let node: DnsNode
  before(async () => {
    await agent.start()
    node = await DnsNode.start({ agentSocket: agent.socket })
    await node.apply([])
    // It knows the selectors from now on.
    await node.ask({ names: ['nx.example'] })
    await node.ask({ names: ['first.held.example'] })
  })
  after(async () => {
    node[Symbol.dispose]()
    await agent.stop()
    agent.remove()
  })

  for (const transport of ['UDP', 'TCP'] as const)
    it(`is in force before those who asked over ${transport} hear of it, and held only once`, async () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      agent.mayAnswer = promise
      const name = `${transport.toLowerCase()}.held.example`
      const started = await node.ask({ transport, names: [name], timeoutMs: 200, wanted: 1 })
      assert.deepEqual(started.answers, [], 'held')
      resolve()
      const { addresses, client, server } = await agent.told(`${name}.`)
      assert.deepEqual([addresses.map(({ address }) => address), client, server], [['192.0.2.1'], POD[4], SERVER[4]])
      agent.mayAnswer = new Promise(() => undefined)
      // Known now: an agent that does not answer is not waited for.
      assert.equal((await node.ask({ transport, names: [name] })).answers.length, 1)
      agent.mayAnswer = Promise.resolve()
    })

  it('does not hold back what no selector means, and tells it all the same', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    agent.mayAnswer = promise
    assert.equal((await node.ask({ names: ['cname.free.example'] })).answers.length, 1)
    resolve()
    const { addresses } = await agent.told('cname.free.example.')
    assert.deepEqual(addresses, [{ address: '192.0.2.9', ttlSeconds: 30 }])
  })

  it('teaches nothing that was not asked for, or that is no address', async () => {
    await node.ask({ names: ['nx.held.example'] })
    await node.ask({ names: ['silent.held.example'], timeoutMs: 100 })
    await node.ask({ names: ['a8.held.example'] })
    await agent.told('a8.held.example.')
    assert.ok(!agent.taught.some(({ name }) => name.startsWith('nx.') || name.startsWith('silent.')))
  })

  it('is passed on after a while without the agent, and told when it is back', async () => {
    await agent.stop()
    const { answers } = await node.ask({ names: ['a7.held.example'], timeoutMs: 5_000 })
    assert.equal(answers.length, 1)
    await node.countsWhen('heldInVain', 1)
    await agent.start()
    assert.deepEqual((await agent.told('a7.held.example.')).addresses[0]?.address, '192.0.2.7')
  })

  it('gets the identity that the agent has prepared, once that is away', async () => {
    const handover = new NameHandover(agent.socket)
    const identities = [{ number: 1 << 24, base: WORLD, selectors: ['*.held.example'] }]
    const { maps } = node.datapath
    for (const element of worldEntries(node.datapath.schema.reservedIdentity)) maps.ipcache.set(...element)
    handover.writeIdentities({ datapath: datapathName(maps.ipcache.id), own: ['192.0.2.8/32'], identities })
    const identityOf = (address: string) => maps.ipcache.get(ipcacheQuestion(ip(address)))?.identity
    const revision = maps.runtime.get(0)?.revision ?? 0
    using lock = new FolderLock(node.datapath.pins?.path ?? '')
    assert.ok(lock.take())
    await agent.stop()
    // As long as an agent lives, however busy, nobody else writes.
    await node.ask({ names: ['a21.held.example'], timeoutMs: 5_000 })
    assert.equal(identityOf('192.0.2.21'), WORLD)
    lock.release()
    for (const name of ['a22.held.example', 'a8.held.example', 'a23.free.example'])
      assert.equal((await node.ask({ names: [name], timeoutMs: 5_000 })).answers.length, 1)
    assert.deepEqual(['192.0.2.22', '192.0.2.8', '192.0.2.23'].map(identityOf), [1 << 24, WORLD, WORLD])
    assert.ok((maps.runtime.get(0)?.revision ?? 0) > revision)
    const written = handover.taught().map(({ name }) => name)
    assert.ok(written.includes('a22.held.example.') && !written.includes('a23.free.example.'))
  })
})
