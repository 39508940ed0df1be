// Pod to pod on one node against the same between bare veth pairs, in turns: one TCP stream, request and response, new
// connections. Without a policy, and with 100 rules; flow events on and read by the agent, and once without them.

import { readSysctl } from '../../src/net/index.ts'
import { interleave } from '../harness/interleave.ts'
import { type Bound, comparedLine, type Line, type Section } from '../harness/result.ts'
import { BarePair } from '../testbed/bare-pair.ts'
import { LoadServer, type Mode, PORTS, runLoad, widenPorts } from '../testbed/load.ts'
import { hundredRules } from '../testbed/manifests.ts'
import { Testbed, type TestPod } from '../testbed/testbed.ts'
import type { Context, OwnMeasurement, TestbedMeasurement } from './measurement.ts'

type Comparison = { readonly mode: Mode; readonly text: string; readonly unit: string; readonly target: Bound }

const COMPARISONS: readonly Comparison[] = [
  { mode: 'stream', text: 'one TCP stream', unit: 'Gbit/s', target: { kind: 'at least', value: 1.0 } },
  { mode: 'rr', text: 'request and response, p50', unit: 'µs', target: { kind: 'at most', value: 1.05 } },
  { mode: 'crr', text: 'new connections', unit: '/s', target: { kind: 'at least', value: 0.9 } },
]
const FAMILIES = [4, 6] as const
type Family = (typeof FAMILIES)[number]

/** Positions of the pods that are measured: a pair that no policy selects, and one with 100 rules. */
const OPEN = { client: 1, server: 2 } as const
const RULED = { client: 3, server: 4 } as const

type Pair = { readonly client: Pick<TestPod, 'namespace'>; readonly server: Pick<TestPod, 'namespace' | 'addresses'> }

export const measurePodToPod: TestbedMeasurement = async (testbed, context) => {
  testbed.apply('hundred-rules', ...hundredRules(RULED.client, RULED.server, { first: PORTS.stream, last: PORTS.crr }))
  await testbed.untilSettled(context.signal)
  const open = await pairOf(testbed, OPEN)
  const ruled = await pairOf(testbed, RULED)
  const before = (await testbed.agent.status()).events
  const lines = await withYardstick(testbed, [open, ruled], async bare => {
    const lines: Line[] = []
    for (const family of FAMILIES)
      for (const comparison of COMPARISONS) {
        context.say(`${comparison.text}, IPv${family}`)
        const pairs = { bare, open, ruled }
        const samples = await interleave(contestants(pairs, comparison.mode, family, context), rounds(context))
        lines.push(
          line(comparison, family, 'no policy', { measured: samples.open, yardstick: samples.bare }),
          line(comparison, family, '100 rules', { measured: samples.ruled, yardstick: samples.bare }),
        )
      }
    return lines
  })
  testbed.remove('hundred-rules')
  const after = (await testbed.agent.status()).events
  const read = Number(after.received) - Number(before.received)
  const lost = Number(after.lost) - Number(before.lost)
  const note = `while all this ran the agent read ${read.toLocaleString('en-US')} flow events; ${lost} found no room in the ring buffer`
  return { name: 'pod-to-pod', title: 'Pod to pod on one node, flow events on', lines: withNote(lines, note) }
}

export const measureWithoutFlowEvents: OwnMeasurement = async context => {
  await using testbed = await Testbed.start({ ...context, pods: 2, flowEvents: false })
  const open = await pairOf(testbed, OPEN)
  const lines = await withYardstick(testbed, [open], async bare => {
    const lines: Line[] = []
    for (const { target: _, ...comparison } of COMPARISONS.filter(({ mode }) => mode === 'crr')) {
      context.say(`${comparison.text} without flow events`)
      const samples = await interleave(contestants({ bare, open }, comparison.mode, 4, context), rounds(context))
      lines.push(line(comparison, 4, 'no policy, events off', { measured: samples.open, yardstick: samples.bare }))
    }
    return lines
  })
  return { name: 'without-flow-events', title: 'The same without flow events', lines } satisfies Section
}

/** Serves load in all pairs and in a bare one, as long as `body` runs. */
async function withYardstick<T>(
  testbed: Testbed,
  pairs: readonly Pair[],
  body: (bare: Pair) => Promise<T>,
): Promise<T> {
  using stack = new DisposableStack()
  const node = stack.use(await testbed.nodeNamespace())
  const [first] = pairs
  const mtu = first ? Number(interfaceMtu(first)) : 1500
  const bare = stack.use(new BarePair(node, mtu))
  for (const { client, server } of [bare, ...pairs]) {
    widenPorts(client.namespace)
    stack.use(await LoadServer.start(server.namespace))
  }
  return await body(bare)
}

const interfaceMtu = ({ client }: Pair): string => readSysctl(client.namespace, 'net/ipv6/conf/eth0/mtu')

async function pairOf(testbed: Testbed, { client, server }: { client: number; server: number }): Promise<Pair> {
  return { client: await testbed.pod(client), server: await testbed.pod(server) }
}

function contestants<Name extends string>(
  pairs: Readonly<Record<Name, Pair>>,
  mode: Mode,
  family: Family,
  context: Context,
) {
  const { effort, signal } = context
  return (Object.entries(pairs) as [Name, Pair][]).map(([name, { client, server }]) => ({
    name,
    sample: () =>
      runLoad({
        mode,
        namespace: client.namespace,
        server: server.addresses[family],
        seconds: effort.loadSeconds,
        signal,
      }),
  }))
}

const rounds = ({ effort, signal }: Context) => ({ count: effort.rounds, signal })

function line(
  { mode, text, unit, target }: Omit<Comparison, 'target'> & { readonly target?: Bound },
  family: Family,
  policy: string,
  series: { readonly measured: readonly number[]; readonly yardstick: readonly number[] },
): Line {
  const id = ['pod-to-pod', mode, `ipv${family}`, policy.replaceAll(/\W+/g, '-')].join('/')
  const described = { id, text: `${text}, IPv${family}, ${policy}`, unit, ...(target && { target }) }
  return comparedLine(described, 'bare', series)
}

const withNote = (lines: readonly Line[], note: string): Line[] =>
  lines.map((line, i) => (i === lines.length - 1 ? { ...line, note } : line))
