// Questions of DNS that are judged, against the same to a server asked directly; and names whose addresses were never
// seen before, connected to as soon as the answer is there.

import type { Namespace } from '../../src/net/index.ts'
import { interleave } from '../harness/interleave.ts'
import { comparedLine, type Line, plainLine, type Section } from '../harness/result.ts'
import { median } from '../harness/statistics.ts'
import { NODE_ADDRESS, OUTSIDE_ADDRESS } from '../testbed/bare-node.ts'
import { askNames, connectToNames, type DnsSample, startDnsServer } from '../testbed/dns-load.ts'
import { HTTP_PORTS, startHttpServers } from '../testbed/http-load.ts'
import type { L7Node } from '../testbed/l7-node.ts'
import { NAMED_PODS, namesPolicy } from '../testbed/l7-objects.ts'
import { ProcessorTime } from '../testbed/processor-time.ts'
import { outputOf } from '../testbed/programs.ts'
import { plugIntoSandbox } from '../testbed/service-node.ts'
import type { Context } from './measurement.ts'

const SECONDS = 0.5
const AT_ONCE = 64
const RULES = 1_000
/** One of the rules'. */
const ASKED = 'zone500.example'
/** Halves of a range that no cluster uses (RFC 2544). */
const NOWHERE = { first: '198.18.0.1', count: 65_000 } as const
/** Behind one machine outside; no answer names one of these before. */
const OUTSIDE = { prefix: '198.19.0.0/16', first: '198.19.0.1', count: 65_000 } as const
const OUTSIDE_PORT = 191
const ROTATING = 'rotating.example'
const NAMES_PER_SECOND = 30

type Route = Parameters<typeof askNames>[0]

export async function measureL7Dns(node: L7Node, context: Context): Promise<Section> {
  await using owned = new AsyncDisposableStack()
  const { testbed, routes } = node
  const [client, server] = [await testbed.pod(NAMED_PODS.client), await testbed.pod(NAMED_PODS.server)]
  testbed.apply('names', namesPolicy(RULES, ROTATING, HTTP_PORTS.small))
  owned.defer(() => testbed.remove('names'))
  await testbed.untilSettled(context.signal)
  const contestants = {
    direct: { namespace: routes.direct.namespace, server: node.servers.direct.address },
    ruled: { namespace: client.namespace, server: server.addresses[4] },
  }
  const lines = [
    ...(await measureQuestions(node, server.namespace, contestants, context)),
    ...(await measureNames(node, server.namespace, contestants.ruled, context)),
  ]
  return { name: 'l7-dns', title: `Questions of DNS judged by ${RULES.toLocaleString('en-US')} rules`, lines }
}

async function measureQuestions(node: L7Node, ruled: Namespace, contestants: Contestants, context: Context) {
  using servers = new DisposableStack()
  for (const namespace of [node.servers.direct.namespace, ruled])
    servers.use(await startDnsServer(namespace, NOWHERE, context.signal))
  return [...(await measureLatency(contestants, context)), ...(await measureRate(node, contestants, context))]
}

type Contestants = Readonly<Record<'direct' | 'ruled', Route>>

async function askInTurns(contestants: Contestants, onTheirWay: number, { effort, signal }: Context) {
  const load = { onTheirWay, seconds: SECONDS, name: ASKED, signal }
  return await interleave(
    (['direct', 'ruled'] as const).map(name => ({ name, sample: () => askNames(contestants[name], load) })),
    { count: effort.l7Rounds, signal },
  )
}

async function measureLatency(contestants: Contestants, context: Context): Promise<Line[]> {
  context.say('DNS, one question after the other')
  const samples = await askInTurns(contestants, 1, context)
  const series = {
    measured: samples.ruled.map(sample => sample.p50Micros),
    yardstick: samples.direct.map(sample => sample.p50Micros),
  }
  const added = series.measured.map((micros, round) => micros - (series.yardstick[round] ?? Number.NaN))
  return [
    comparedLine({ id: 'l7/dns/p50', text: 'DNS, one question after the other, p50', unit: 'µs' }, 'direct', series),
    plainLine(
      {
        id: 'l7/dns/added',
        text: 'what the proxy adds to it',
        unit: 'µs',
        target: { kind: 'at most', value: 150 },
        samples: { added },
        note: 'every question is for a name that nobody asked for before, and an event that the agent reads',
      },
      median(added),
    ),
  ]
}

async function measureRate({ testbed }: L7Node, contestants: Contestants, context: Context): Promise<Line[]> {
  context.say(`DNS, ${AT_ONCE} questions at a time`)
  const spent = new ProcessorTime({
    dns: await testbed.proxyServer('dns'),
    supervisor: (await testbed.proxy.status()).pid,
    agent: (await testbed.agentProcess()).pid,
  })
  const samples = await askInTurns(contestants, AT_ONCE, context)
  const { dns, supervisor: telling, agent } = spent.seconds()
  // The round that warms up counts for the processor too.
  const counted = samples.ruled.reduce((sum, { answered }) => sum + answered, 0)
  const all = (counted * (samples.ruled.length + 1)) / samples.ruled.length
  const each = (seconds: number): string => `${((seconds / all) * 1e6).toFixed(0)} µs`
  const rate = (sample: DnsSample): number => sample.perSecond
  const lost = samples.ruled.reduce((sum, sample) => sum + sample.lost, 0)
  return [
    comparedLine(
      { id: 'l7/dns/rate', text: `DNS, ${AT_ONCE} questions at a time`, unit: '/s', note: `${lost} lost or refused` },
      'direct',
      { measured: samples.ruled.map(rate), yardstick: samples.direct.map(rate) },
    ),
    plainLine(
      {
        id: 'l7/dns/core',
        text: 'questions for each second of processor time of the DNS server',
        unit: '/s',
        target: { kind: 'at least', value: 10_000 },
        note:
          `${each(dns)} each; that every question is told costs ${each(telling)} of the supervisor and ${each(agent)} of the agent ` +
          'beside it, which share the two processors with client and server',
      },
      all / dns,
    ),
  ]
}

/** Asked of names that the policy does not mean: were these reached, the others would say nothing. */
const CONTROL = { seconds: 1, perSecond: 2, name: ASKED } as const

async function measureNames(
  { testbed, node, folder }: L7Node,
  server: Namespace,
  route: Route,
  { effort, say, signal }: Context,
): Promise<Line[]> {
  say(`${NAMES_PER_SECOND} new names a second`)
  await using owned = new AsyncDisposableStack()
  owned.use(await startDnsServer(server, OUTSIDE, signal))
  const outside = await plugIntoSandbox(owned, testbed, OUTSIDE_PORT, OUTSIDE_ADDRESS)
  await startHttpServers(owned, outside, folder, signal)
  await outputOf(outside, ['ip', 'route', 'add', 'local', OUTSIDE.prefix, 'dev', 'lo'], signal)
  await outputOf(outside, ['ip', 'route', 'add', '10.244.0.0/16', 'via', NODE_ADDRESS], signal)
  await outputOf(node, ['ip', 'route', 'add', OUTSIDE.prefix, 'via', OUTSIDE_ADDRESS], signal)
  const port = HTTP_PORTS.small
  const control = await connectToNames(route, { ...CONTROL, port }, signal)
  if (control.atOnce + control.late > 0) throw new Error('addresses are reached that no rule by name is about')
  const load = { perSecond: NAMES_PER_SECOND, seconds: effort.l7Seconds, port, name: ROTATING }
  const before = await answersBeforeTheirTime(testbed)
  const { names, unanswered, atOnce, late, p50Micros, p99Micros } = await connectToNames(route, load, signal)
  const early = (await answersBeforeTheirTime(testbed)) - before
  const note =
    `${names.toLocaleString('en-US')} names with an address of their own each; ${unanswered} not answered, ${late} connections there ` +
    `only by the second SYN, ${names - unanswered - atOnce - late} not at all; ${early} answers were passed on before the agent said that their address is ` +
    `in force; an answer takes ${(p50Micros / 1000).toFixed(1)} ms, p99 ${(p99Micros / 1000).toFixed(1)} ms`
  return [
    plainLine(
      {
        id: 'l7/dns/first',
        text: 'first connections after an answer that succeed, rules by name',
        unit: '%',
        target: { kind: 'at least', value: 100 },
        note,
      },
      (100 * atOnce) / names,
    ),
  ]
}

/** The agent took longer than the DNS server waits for it. */
const answersBeforeTheirTime = async ({ proxy }: L7Node['testbed']): Promise<number> =>
  (await proxy.status()).servers.find(({ name }) => name === 'dns')?.counts['heldInVain'] ?? 0
