// Requests that are judged, against requests of pods that no rule is about: where every request makes an event, which the
// agent counts and keeps, and where only those that are denied do.

import os from 'node:os'
import { interleave } from '../harness/interleave.ts'
import { comparedLine, type Line, type Section } from '../harness/result.ts'
import { type HttpRoute, type HttpSample, runH2load, runWrk } from '../testbed/http-load.ts'
import type { L7Node } from '../testbed/l7-node.ts'
import { orderRules } from '../testbed/l7-objects.ts'
import { ProcessorTime } from '../testbed/processor-time.ts'
import type { Context } from './measurement.ts'

const RULES = 500
const MANY = 64
/** Of HTTP/2. */
const FEW = 4
const STREAMS = 16
/** wrk counts whole ones. */
const SECONDS = 1

type Load = (route: HttpRoute, context: Context) => Promise<HttpSample>
const wrk =
  (connections: number, closes = false): Load =>
  async (route, { signal }) => {
    const sample = await runWrk(route, { connections, seconds: SECONDS, closes, signal })
    if (sample.failed > 0) throw new Error(`${sample.failed} requests failed at ${connections} connections`)
    return sample
  }

const http2 =
  (connections: number, streams: number): Load =>
  async (route, { signal }) => {
    const perSecond = await runH2load(route, { connections, streams, seconds: SECONDS, signal })
    return { perSecond, p50Micros: Number.NaN, failed: 0 }
  }

type Figure = {
  readonly id: string
  readonly text: string
  readonly load: Load
  /** Of the ratio; requests a second unless it is at most. */
  readonly target?: { readonly kind: 'at least' | 'at most'; readonly value: number }
  readonly of?: 'p50'
  readonly note?: string
}

const LOGGED = 'every request is told, and its event kept by the agent'

const BY_EXACT_RULES: readonly Figure[] = [
  {
    id: '64',
    text: `HTTP/1.1, ${MANY} connections, ${RULES} rules`,
    load: wrk(MANY),
    target: { kind: 'at least', value: 0.3 },
    note: LOGGED,
  },
  {
    id: '1',
    text: `HTTP/1.1, 1 connection, ${RULES} rules, p50`,
    load: wrk(1),
    target: { kind: 'at most', value: 3 },
    of: 'p50',
  },
  { id: 'close', text: `HTTP/1.1, a connection for each request, ${RULES} rules`, load: wrk(MANY, true) },
  {
    id: 'h2c',
    text: `HTTP/2, ${MANY} connections, ${RULES} rules`,
    load: http2(MANY, 1),
    target: { kind: 'at least', value: 0.3 },
    note:
      'one request at a time on each connection, as with HTTP/1.1; the server is nginx in one process, ' +
      'as where the target comes from',
  },
  {
    id: 'h2c-streams',
    text: `HTTP/2, ${FEW} connections with ${STREAMS} requests at a time each, ${RULES} rules`,
    load: http2(FEW, STREAMS),
    note:
      'requests of one connection share what it costs to send and receive: what is left of the difference is the server and the ' +
      'proxy, where every request is judged and told',
  },
]

/** Of requests that are allowed, nobody is told. */
const UNTOLD: readonly Figure[] = [
  {
    id: '64-untold',
    text: `HTTP/1.1, ${MANY} connections, ${RULES} rules`,
    load: wrk(MANY),
    target: { kind: 'at least', value: 0.38 },
  },
  {
    id: 'h2c-untold',
    text: `HTTP/2, ${MANY} connections, ${RULES} rules`,
    load: http2(MANY, 1),
    target: { kind: 'at least', value: 0.6 },
    note: 'the target comes from a measurement of HAProxy in front of nginx without events (0.67 by its own maps)',
  },
]

const BY_EXPRESSIONS: readonly Figure[] = [
  { id: '64-expressions', text: `HTTP/1.1, ${MANY} connections, ${RULES} regular expressions`, load: wrk(MANY) },
]

export async function measureL7Http(node: L7Node, context: Context): Promise<Section> {
  await node.rule(orderRules(RULES))
  const before = (await node.testbed.proxy.status()).events
  const lines = await measureAll(node, BY_EXACT_RULES, context)
  const after = (await node.testbed.proxy.status()).events
  const told = `${(after.received - before.received).toLocaleString('en-US')} events, ${after.lost - before.lost} of them lost because nobody took them in time`
  await node.rule(orderRules(RULES, 'with expressions'))
  const others = await measureAll(node, BY_EXPRESSIONS, context)
  const [first, ...rest] = lines
  const noted = first ? [{ ...first, note: `${first.note}; in this part ${told}` }] : []
  return {
    name: 'l7-http',
    title: 'Requests judged by rules, against pod to pod without',
    lines: [...noted, ...rest, ...others],
  }
}

export async function measureL7HttpUntold(node: L7Node, context: Context): Promise<Section> {
  await node.rule(orderRules(RULES))
  return {
    name: 'l7-http-untold',
    title: 'The same with --http-events denied',
    lines: await measureAll(node, UNTOLD, context),
  }
}

async function measureAll(node: L7Node, figures: readonly Figure[], context: Context): Promise<Line[]> {
  const lines: Line[] = []
  for (const { id, text, load, target, of, note } of figures) {
    context.say(text)
    const spent = new ProcessorTime(await processesOf(node))
    const samples = await interleave(
      (['direct', 'ruled'] as const).map(name => ({ name, sample: () => load(node.routes[name], context) })),
      { count: context.effort.l7Rounds, signal: context.signal },
    )
    const valueOf = ({ perSecond, p50Micros }: HttpSample): number => (of === 'p50' ? p50Micros : perSecond)
    const costs = costsOf(spent.seconds(), samples.ruled)
    lines.push(
      comparedLine(
        {
          id: `l7/http/${id}`,
          text,
          unit: of === 'p50' ? 'µs' : '/s',
          ...(target && { target }),
          note: note ? `${note}; ${costs}` : costs,
        },
        'direct',
        { measured: samples.ruled.map(valueOf), yardstick: samples.direct.map(valueOf) },
      ),
    )
  }
  return lines
}

const processesOf = async ({ testbed }: L7Node) => ({
  HAProxy: await testbed.proxyServer('haproxy'),
  'the supervisor': (await testbed.proxy.status()).pid,
  'the agent': (await testbed.agentProcess()).pid,
})

/** @param seconds of processors that were spent in all rounds, also in the one that warms up */
function costsOf(seconds: Readonly<Record<string, number>>, rounds: readonly HttpSample[]): string {
  const counted = rounds.reduce((sum, { perSecond }) => sum + perSecond * SECONDS, 0)
  const requests = (counted * (rounds.length + 1)) / rounds.length
  const each = Object.entries(seconds).map(([name, spent]) => `${((spent / requests) * 1e6).toFixed(0)} µs of ${name}`)
  return `a request that is judged takes ${each.join(', ')}, of ${os.availableParallelism()} processors that client and server share with them`
}
