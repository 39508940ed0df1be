// From the moment a policy's file is replaced to the first packet that is judged by it, with 50 pods in the sandbox.
// Packets of one connection are sent at short intervals meanwhile: the resolution, which the note states.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Line, plainLine } from '../harness/result.ts'
import { median, quantile } from '../harness/statistics.ts'
import { networkPolicy, selectPod } from '../testbed/manifests.ts'
import { Pulse } from '../testbed/pulse.ts'
import type { Testbed } from '../testbed/testbed.ts'
import { type Context, PODS, type TestbedMeasurement } from './measurement.ts'

const PORT = 5010
const INTERVAL_MICROS = 150
/** Between changes: never in step with a timer of the agent. */
const PAUSE_MS = { least: 15, spread: 40 } as const

const SENDER = 5
const RECEIVER = 6

/** What the policy selects: the receiver alone, or every pod, so that all policy maps change at once. */
const SCOPES = [
  { id: 'one-pod', text: 'a policy of one pod', podSelector: selectPod(RECEIVER) },
  { id: 'all-pods', text: `a policy of all ${PODS} pods`, podSelector: {} },
] as const

type Scope = (typeof SCOPES)[number]
type Latencies = Readonly<Record<'allow' | 'deny', number[]>>

export const measurePolicyChange: TestbedMeasurement = async (testbed, context) => {
  const lines: Line[] = []
  for (const scope of SCOPES) {
    context.say(`policy changes, ${scope.text}`)
    lines.push(...(await measureScope(testbed, context, scope)))
    testbed.remove('changing')
    await testbed.untilSettled(context.signal)
  }
  return { name: 'policy-change', title: `Policy file changed → first packet judged by it, ${PODS} pods`, lines }
}

async function measureScope(testbed: Testbed, { effort, signal }: Context, scope: Scope): Promise<Line[]> {
  const allowing = (pod: number) =>
    networkPolicy('changing', {
      podSelector: scope.podSelector,
      policyTypes: ['Ingress'],
      ingress: [{ from: [{ podSelector: selectPod(pod) }], ports: [{ protocol: 'UDP', port: PORT }] }],
    })
  const policies = { allow: allowing(SENDER), deny: allowing(RECEIVER) }
  testbed.apply('changing', policies.allow)
  await testbed.untilSettled(signal)
  const [from, to] = [await testbed.pod(SENDER), await testbed.pod(RECEIVER)]
  using pulse = await Pulse.start({ from, to, port: PORT, intervalMicros: INTERVAL_MICROS, signal })

  const latencies: Latencies = { allow: [], deny: [] }
  const gaps: number[] = []
  for (let i = 0; i < effort.policyChanges; i++) {
    await sleep(PAUSE_MS.least + PAUSE_MS.spread * Math.random(), undefined, { signal })
    const wanted = i % 2 === 0 ? 'deny' : 'allow'
    const replace = testbed.prepare('changing', policies[wanted])
    const before = process.hrtime.bigint()
    replace()
    const { arrives, sentNs, beforeNs } = await pulse.nextChange()
    if (arrives !== (wanted === 'allow') || sentNs < before)
      throw new Error('the fate of packets changed without a change of the policy')
    latencies[wanted].push(milliseconds(sentNs - before))
    gaps.push(milliseconds(sentNs - beforeNs))
  }
  return describe(scope, latencies, gaps)
}

function describe({ id, text }: Scope, latencies: Latencies, gaps: readonly number[]): Line[] {
  const all = [...latencies.deny, ...latencies.allow]
  const note =
    `${all.length} changes, half from allowed to denied (p50 ${median(latencies.deny).toFixed(2)} ms) and half back ` +
    `(p50 ${median(latencies.allow).toFixed(2)} ms); a packet every ${median(gaps).toFixed(2)} ms is the resolution`
  const figure = (name: string, part: number, limitMs: number) => ({
    described: {
      id: `policy-change/${id}/${name}`,
      text: `${text}, ${name}`,
      unit: 'ms',
      target: { kind: 'at most', value: limitMs },
    } as const,
    value: quantile(all, part),
  })
  const [p50, p99] = [figure('p50', 0.5, 10), figure('p99', 0.99, 50)]
  return [plainLine({ ...p50.described, samples: latencies, note }, p50.value), plainLine(p99.described, p99.value)]
}

const milliseconds = (nanoseconds: bigint): number => Number(nanoseconds) / 1e6
