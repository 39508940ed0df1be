// New connections through a service, among more and more services: how many a second, and how long connect() takes until
// the first packets have gone to a backend and back. Against the rules of kube-proxy, and against ourselves with one
// service, in turns.

import { interleave } from '../harness/interleave.ts'
import { type Bound, comparedLine, type Line } from '../harness/result.ts'
import { clusterAddress } from '../testbed/kube-proxy/services.ts'
import { runServiceLoad, type ServiceSample } from '../testbed/service-load.ts'
import type { Context } from './measurement.ts'
import type { ServiceNodes } from './service-nodes.ts'

const PROXIES = ['iptables', 'nftables'] as const
const FLAT = 0.05

type Samples = Readonly<Record<'ours' | 'one' | (typeof PROXIES)[number], readonly ServiceSample[]>>

type Figure = {
  readonly id: 'rate' | 'p50' | 'p99'
  readonly text: string
  readonly unit: string
  readonly of: (sample: ServiceSample) => number
  readonly target?: Bound
  readonly flat?: Bound
}

const RATE: Figure = {
  id: 'rate',
  text: 'new connections',
  unit: '/s',
  of: sample => sample.perSecond,
  target: { kind: 'at least', value: 1 },
  flat: { kind: 'at least', value: 1 - FLAT },
}
const LATENCIES: readonly Figure[] = [
  {
    id: 'p50',
    text: 'connect(), p50',
    unit: 'µs',
    of: sample => sample.p50,
    target: { kind: 'at most', value: 1 },
    flat: { kind: 'at most', value: 1 + FLAT },
  },
  { id: 'p99', text: 'connect(), p99', unit: 'µs', of: sample => sample.p99 },
]

export async function measureServiceConnections(nodes: ServiceNodes, count: number, context: Context): Promise<Line[]> {
  context.say(`new connections among ${count.toLocaleString('en-US')} services`)
  const rates = await sample(nodes, 'crr', context)
  const latencies = await sample(nodes, 'connect', context)
  return [...linesOf(RATE, count, rates), ...LATENCIES.flatMap(figure => linesOf(figure, count, latencies))]
}

async function sample(nodes: ServiceNodes, mode: 'crr' | 'connect', context: Context): Promise<Samples> {
  const { effort, signal } = context
  const contestants = Object.entries(nodes) as [keyof ServiceNodes, ServiceNodes[keyof ServiceNodes]][]
  return await interleave(
    contestants.map(([name, { client, services }]) => ({
      name,
      sample: () =>
        runServiceLoad({ mode, client, to: clusterAddress(services.web), seconds: effort.loadSeconds, signal }),
    })),
    { count: effort.serviceRounds, signal },
  )
}

function linesOf({ id, text, unit, of, target, flat }: Figure, count: number, samples: Samples): Line[] {
  const among = `${count.toLocaleString('en-US')} service${count === 1 ? '' : 's'}`
  const measured = samples.ours.map(of)
  const line = (yardstick: keyof Samples, name: string, bound: Bound | undefined): Line =>
    comparedLine(
      { id: `services/${id}/${count}/${yardstick}`, text: `${text}, ${among}`, unit, ...(bound && { target: bound }) },
      name,
      { measured, yardstick: samples[yardstick].map(of) },
    )
  return [
    ...PROXIES.map(proxy => line(proxy, proxy, target)),
    ...(count === 1 || !flat ? [] : [line('one', '1 service', flat)]),
  ]
}
