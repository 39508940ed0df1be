// What the proxy withstands: a HAProxy that is killed under load, bodies of a gigabyte, thousands of connections that are
// silent.

import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { maxConnectionsFor } from '../../src/proxy/haproxy/shares.ts'
import { interleave } from '../harness/interleave.ts'
import { comparedLine, type Line, plainLine, type Section } from '../harness/result.ts'
import { type NewConnections, openIdle, runNewConnections, transfer } from '../testbed/http-load.ts'
import type { L7Node } from '../testbed/l7-node.ts'
import { EXTRA_RULES, orderRules } from '../testbed/l7-objects.ts'
import type { Context } from './measurement.ts'

const KILLS = 4
const BETWEEN_KILLS_MS = 1_500
const CONNECTING_PROCESSES = 4
const BODY_BYTES = 1_000_000_000
const BODY_ROUNDS = 3
const IDLE = 10_000
const SAMPLE_MS = 50

export async function measureL7Endurance(node: L7Node, context: Context): Promise<Section> {
  await node.rule([...orderRules(500), EXTRA_RULES.body, EXTRA_RULES.bytes])
  const lines = [
    ...(await measureDeaths(node, context)),
    ...(await measureBodies(node, context)),
    ...(await measureIdle(node, context)),
  ]
  return { name: 'l7-endurance', title: 'What the proxy withstands', lines }
}

async function measureDeaths({ testbed, routes }: L7Node, { say, signal }: Context): Promise<Line[]> {
  say('HAProxy killed under load')
  const seconds = ((KILLS + 1) * BETWEEN_KILLS_MS) / 1000
  const load = runNewConnections(routes.ruled, { seconds, processes: CONNECTING_PROCESSES, signal })
  const kill = async (): Promise<void> => {
    for (let i = 0; i < KILLS; i++) {
      await sleep(BETWEEN_KILLS_MS, undefined, { signal })
      process.kill(await testbed.proxyServer('haproxy'), 'SIGKILL')
    }
  }
  const [asked] = await Promise.all([load, kill()])
  await testbed.until('the proxy is ready', async () => (await testbed.proxy.status()).ready, signal)
  return deathLines(asked)
}

function deathLines({ answered, refused, cut, others, longest_ms }: NewConnections): Line[] {
  const note =
    `killed ${KILLS} times while ${CONNECTING_PROCESSES} clients connected anew for each of ${answered.toLocaleString('en-US')} ` +
    `requests; ${cut} connections that HAProxy had accepted were cut with it, ${others} requests answered otherwise`
  return [
    plainLine(
      {
        id: 'l7/death/longest',
        text: 'HAProxy killed: the longest that a new connection waited for its answer',
        unit: 'ms',
        target: { kind: 'at most', value: 1000 },
        note,
      },
      longest_ms,
    ),
    plainLine(
      { id: 'l7/death/refused', text: 'connections refused', unit: '', target: { kind: 'at most', value: 0 } },
      refused,
    ),
  ]
}

async function measureBodies(node: L7Node, { say, signal }: Context): Promise<Line[]> {
  const lines: Line[] = []
  for (const direction of ['up', 'down'] as const) {
    const text = `a body of 1 GB ${direction === 'up' ? 'sent' : 'received'}`
    say(text)
    const before = await memoryOf(node.testbed)
    const highest = new HighestMemory(node.testbed)
    const samples = await interleave(
      (['direct', 'ruled'] as const).map(name => ({
        name,
        sample: async () => BODY_BYTES / 1e6 / (await transfer(node.routes[name], direction, BODY_BYTES, signal)),
      })),
      { count: BODY_ROUNDS, signal },
    )
    const grown = (await highest.end()) - before.total
    lines.push(
      comparedLine({ id: `l7/body/${direction}`, text, unit: 'MB/s' }, 'direct', {
        measured: samples.ruled,
        yardstick: samples.direct,
      }),
      plainLine(
        {
          id: `l7/body/${direction}/memory`,
          text: `${text}: the proxy's processes grow by at most`,
          unit: 'MB',
          target: { kind: 'at most', value: 50 },
          note: `${before.text} before`,
        },
        Math.max(0, grown),
      ),
    )
  }
  return lines
}

async function measureIdle({ testbed, routes, other }: L7Node, { say, signal }: Context): Promise<Line[]> {
  say('idle connections')
  const before = await memoryOf(testbed)
  // One client does not get all that HAProxy takes (src/proxy/haproxy/shares.ts).
  using first = await openIdle(routes.ruled, IDLE, signal)
  using second = await openIdle({ ...routes.ruled, namespace: other }, IDLE - first.answered, signal)
  const taken = first.answered + second.answered
  const after = await memoryOf(testbed)
  const each = ((after.total - before.total) * 1000) / taken
  const limit = descriptorLimit(await testbed.proxyServer('haproxy'))
  return [
    plainLine(
      {
        id: 'l7/idle/connections',
        text: 'idle connections that were taken',
        unit: '',
        note:
          `${first.answered.toLocaleString('en-US')} of one client, which does not get more, and ${second.answered.toLocaleString('en-US')} of another; ` +
          `HAProxy may have ${limit.toLocaleString('en-US')} descriptors (ulimit -n) here, two for each connection, which are enough for ` +
          maxConnectionsFor(limit).toLocaleString('en-US'),
      },
      taken,
    ),
    plainLine(
      {
        id: 'l7/idle/memory',
        text: `memory of the proxy's processes with ${IDLE.toLocaleString('en-US')} of them${taken < IDLE ? ', reckoned' : ''}`,
        unit: 'MB',
        target: { kind: 'at most', value: 300 },
        note:
          `each has had one request, so it has its connection to the server too; ${each.toFixed(1)} kB each; ${before.text} before, ` +
          `${after.text} with them; what processes share, such as Node itself, counts for each: without that it is ${after.proportional.toFixed(0)} MB; ` +
          'what the kernel has for their sockets is not in it',
      },
      before.total + (each * IDLE) / 1000,
    ),
  ]
}

type Memory = {
  readonly total: number
  /** With what several processes share divided among them. */
  readonly proportional: number
  readonly text: string
}

/** Resident, in MB, of the supervisor and its servers. */
async function memoryOf({ proxy }: L7Node['testbed']): Promise<Memory> {
  const { pid, servers } = await proxy.status()
  const processes = [{ name: 'supervisor', pid }, ...servers.filter(server => server.pid)]
  const each = processes.map(({ name, pid: id = 0 }) => ({ name, ...residentOf(id) }))
  const sum = (of: 'resident' | 'proportional'): number => each.reduce((all, memory) => all + memory[of], 0)
  return {
    total: sum('resident'),
    proportional: sum('proportional'),
    text: each.map(({ name, resident }) => `${name} ${resident.toFixed(0)} MB`).join(', '),
  }
}

function residentOf(pid: number): { readonly resident: number; readonly proportional: number } {
  const rollup = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const megabytes = (field: string): number =>
    (Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1]) * 1024) / 1e6
  return { resident: megabytes('Rss'), proportional: megabytes('Pss') }
}

const descriptorLimit = (pid: number): number =>
  Number(/^Max open files\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1])

/** Looks again and again, until its end. */
class HighestMemory {
  readonly #over = new AbortController()
  readonly #done: Promise<number>

  constructor(testbed: L7Node['testbed']) {
    this.#done = this.#look(testbed)
  }

  /** In MB. */
  end(): Promise<number> {
    this.#over.abort()
    return this.#done
  }

  async #look(testbed: L7Node['testbed']): Promise<number> {
    let highest = 0
    while (!this.#over.signal.aborted) {
      highest = Math.max(highest, (await memoryOf(testbed)).total)
      await sleep(SAMPLE_MS)
    }
    return highest
  }
}
