// From the moment a policy's file is replaced to the first request that is judged by it, through agent, proxy and kernel,
// on a connection that stays open; and whether requests fail that old and new rules allow.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Line, plainLine, type Section } from '../harness/result.ts'
import { median, quantile } from '../harness/statistics.ts'
import { type HttpSample, runWrk, StatusWatcher } from '../testbed/http-load.ts'
import type { L7Node } from '../testbed/l7-node.ts'
import { orderRules } from '../testbed/l7-objects.ts'
import type { Context } from './measurement.ts'

const RULES = 500
const MANY_RULES = 10_000
/** Of the whole policy. */
const MANY_CHANGES = 5
/** Between requests of the watcher: the resolution. */
const INTERVAL_MICROS = 500
/** Between changes: never in step with a timer of the agent. */
const PAUSE_MS = { least: 15, spread: 40 } as const
const LOADED_CONNECTIONS = 8
/** For each of those without load. */
const LOADED_CHANGES = 4

const WATCHED = '/changing'
/** The rule that changes: another one each time, so that every set of rules is new to the proxy. */
const ruleAt = (change: number, path: string) => ({ method: 'GET', path: `${path}|/change/${change}` })

export async function measureL7Changes(node: L7Node, context: Context): Promise<Section> {
  const { l7Changes } = context.effort
  context.say('policies of 10,000 rules applied')
  const many = await latenciesOf(node, context, { rules: MANY_RULES, from: 1, changes: MANY_CHANGES * 2 })
  context.say('one rule changed')
  const one = await latenciesOf(node, context, { rules: RULES, from: RULES, changes: l7Changes })
  context.say('one rule changed under load')
  const loaded = await underLoad(node, context, () =>
    latenciesOf(node, context, { rules: RULES, from: RULES, changes: l7Changes * LOADED_CHANGES }),
  )
  return {
    name: 'l7-changes',
    title: 'Rules changed → first request judged by them',
    lines: [...manyLines(many), ...oneLines(one), ...loadedLines(loaded)],
  }
}

type Latencies = Readonly<Record<'allow' | 'deny', number[]>>
type Changes = {
  /** Rules of the policy that allows what is watched, beside the one for it. */
  readonly rules: number
  /** Of the policy that denies it. */
  readonly from: number
  readonly changes: number
}

/** In milliseconds, from each rename to the first request with the new verdict. */
async function latenciesOf(node: L7Node, { signal }: Context, { rules, from, changes }: Changes): Promise<Latencies> {
  const policies = {
    allow: (change: number) => [...orderRules(Math.max(rules, RULES)), ruleAt(change, WATCHED)],
    deny: (change: number) => [...orderRules(Math.max(from, RULES)), ruleAt(change, '/other')],
  }
  await node.rule(policies.deny(changes))
  using watcher = new StatusWatcher({ ...node.routes.ruled, path: WATCHED }, INTERVAL_MICROS, signal)
  const { status } = await watcher.next()
  if (status !== 403) throw new Error(`a request that no rule allows is answered with ${status}`)
  const latencies: Latencies = { allow: [], deny: [] }
  for (let i = 0; i < changes; i++) {
    await sleep(PAUSE_MS.least + PAUSE_MS.spread * Math.random(), undefined, { signal })
    const wanted = i % 2 === 0 ? 'allow' : 'deny'
    const replace = node.prepare(policies[wanted](i))
    const before = process.hrtime.bigint()
    replace()
    const { status, sentNs } = await watcher.next()
    if (status !== (wanted === 'allow' ? 200 : 403)) throw new Error(`${wanted}: answered with ${status}`)
    latencies[wanted].push(Number(sentNs - before) / 1e6)
  }
  return latencies
}

type Loaded = { readonly latencies: Latencies; readonly requests: number; readonly failed: number }

/** Requests that old and new rules allow, one second of wrk after the other, until `body` ends. */
async function underLoad(node: L7Node, { signal }: Context, body: () => Promise<Latencies>): Promise<Loaded> {
  const load = { connections: LOADED_CONNECTIONS, seconds: 1, signal }
  const seconds: HttpSample[] = []
  const end = new AbortController()
  const loading = async (): Promise<void> => {
    while (!end.signal.aborted) seconds.push(await runWrk(node.routes.ruled, load))
  }
  const over = async (): Promise<Latencies> => {
    try {
      return await body()
    } finally {
      end.abort()
    }
  }
  const [latencies] = await Promise.all([over(), loading()])
  const sum = (of: (sample: HttpSample) => number): number => seconds.reduce((all, each) => all + of(each), 0)
  return { latencies, requests: Math.round(sum(each => each.perSecond)), failed: sum(each => each.failed) }
}

const words = ({ allow, deny }: Latencies): string =>
  `${allow.length + deny.length} changes, half from denied to allowed (p50 ${median(allow).toFixed(1)} ms) and half back ` +
  `(p50 ${median(deny).toFixed(1)} ms); a request every ${INTERVAL_MICROS / 1000} ms is the resolution`

const manyLines = (latencies: Latencies): Line[] => [
  plainLine(
    {
      id: 'l7/changes/10000',
      text: 'a policy of 10,000 rules in place of one of 500, p50',
      unit: 'ms',
      target: { kind: 'at most', value: 500 },
      samples: latencies,
      note: words(latencies),
    },
    median(latencies.allow),
  ),
]

const oneLines = (latencies: Latencies): Line[] => {
  const all = [...latencies.allow, ...latencies.deny]
  return [
    plainLine(
      {
        id: 'l7/changes/1/p50',
        text: 'one rule of 500, p50',
        unit: 'ms',
        target: { kind: 'at most', value: 20 },
        samples: latencies,
        note: words(latencies),
      },
      median(all),
    ),
    plainLine({ id: 'l7/changes/1/p99', text: 'one rule of 500, p99', unit: 'ms' }, quantile(all, 0.99)),
  ]
}

const loadedLines = ({ latencies, requests, failed }: Loaded): Line[] => {
  const all = [...latencies.allow, ...latencies.deny]
  return [
    plainLine(
      {
        id: 'l7/changes/failed',
        text: `requests that failed in ${all.length} changes under load`,
        unit: '',
        target: { kind: 'at most', value: 0 },
        note: `${requests.toLocaleString('en-US')} requests that both rules allow, on ${LOADED_CONNECTIONS} connections`,
      },
      failed,
    ),
    plainLine(
      { id: 'l7/changes/loaded', text: 'one rule of 500 under load, p50', unit: 'ms', samples: latencies },
      median(all),
    ),
  ]
}
