// The policy engine alone, on a cluster of 1,000 policies and 10,000 pods of 300 identities: time and memory to resolve
// all of it, a change of it, a policy of many rules, the table of who may reach whom, and the size of the policy maps
// against a naive expansion. Each in processes of its own.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { type Line, plainLine, type Section } from '../harness/result.ts'
import { median, quantile } from '../harness/statistics.ts'
import type { Context, OwnMeasurement } from './measurement.ts'
import type { Samples } from './policy-program.ts'

const PROGRAM = path.join(import.meta.dirname, 'policy-program.ts')
const MB = 1e6
const CHANGE_MS = 20

export const measurePolicyEngine: OwnMeasurement = async context => {
  const lines = [
    ...(await coldLines(context)),
    ...(await changeLines(context, 'policies', POLICY_CHANGES)),
    ...(await changeLines(context, 'pods', POD_CHANGES)),
    ...(await manyRulesLines(context)),
    ...(await explainLines(context)),
    ...(await reachLines(context)),
    ...(await contentLines(context)),
  ]
  const title = 'The policy engine alone: 1,000 policies, 10,000 pods of 300 identities'
  return { name: 'policy-engine', title, lines } satisfies Section
}

/** Samples of a part, `times` processes one after the other. */
async function inProcesses({ say, signal }: Context, part: string, times: number, rounds = 1): Promise<Samples> {
  say(`policy engine: ${part}`)
  const all: Record<string, number[]> = {}
  for (let i = 0; i < times; i++) {
    const args = ['--expose-gc', PROGRAM, part, String(rounds)]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], signal })
    const [output, [status]] = await Promise.all([text(child.stdout), once(child, 'close')])
    if (status !== 0) throw new Error(`the measurement ${part} of the policy engine ended with ${status}`)
    for (const [name, samples] of Object.entries(JSON.parse(output) as Samples)) (all[name] ??= []).push(...samples)
  }
  return all
}

const samplesOf = (samples: Samples, name: string): readonly number[] => samples[name] ?? []
const typical = (samples: Samples, name: string): number => median(samplesOf(samples, name))
const count = (value: number): string => value.toLocaleString('en-US')

async function coldLines(context: Context): Promise<Line[]> {
  const samples = await inProcesses(context, 'cold', context.effort.engineProcesses)
  const [growth, kept] = ['growth', 'kept'].map(name => samplesOf(samples, name).map(bytes => bytes / MB))
  const described = `${count(typical(samples, 'identities'))} identities with the reserved ones; ${count(typical(samples, 'entries'))} entries in ${count(typical(samples, 'maps'))} maps`
  return [
    plainLine(
      {
        id: 'policy-engine/cold',
        text: 'all resolved, from nothing',
        unit: 's',
        target: { kind: 'at most', value: 2 },
        samples: { ms: samplesOf(samples, 'ms') },
        note: `pods and policies are read, nothing else is made; ${described}; ${(typical(samples, 'cpuMs') / 1000).toFixed(2)} s of CPU time; the first run of a new process`,
      },
      typical(samples, 'ms') / 1000,
    ),
    plainLine(
      {
        id: 'policy-engine/memory',
        text: 'memory for it',
        unit: 'MB',
        target: { kind: 'at most', value: 200 },
        samples: { growth: growth ?? [], kept: kept ?? [] },
        note: `growth of the process’s resident memory, garbage included; what stays in the heap after a collection has grown by ${median(kept ?? []).toFixed(0)} MB; the larger one counts`,
      },
      Math.max(median(growth ?? []), median(kept ?? [])),
    ),
  ]
}

type Change = { readonly name: string; readonly text: string; readonly note: string }

const POLICY_CHANGES: readonly Change[] = [
  {
    name: 'one',
    text: 'a policy of one application changed',
    note: 'or of one namespace; until all it touches is resolved again',
  },
  {
    name: 'all',
    text: 'a policy over many namespaces changed',
    note: 'a ClusterNetworkPolicy for the pods of a team, or for all',
  },
]

const POD_CHANGES: readonly Change[] = [
  { name: 'known', text: 'a pod changed to labels that another has', note: 'until its policy is known' },
  {
    name: 'fresh',
    text: 'a pod changed to labels that nobody had',
    note: 'a new identity, a peer in nearly every one of the 300 policies',
  },
]

async function changeLines(context: Context, part: string, changes: readonly Change[]): Promise<Line[]> {
  const samples = await inProcesses(context, part, 1, context.effort.engineChanges)
  return changes.flatMap(({ name, text, note }) => {
    const ms = samplesOf(samples, name)
    const described = { unit: 'ms', target: { kind: 'at most', value: CHANGE_MS } } as const
    const id = `policy-engine/${part}/${name}`
    const first = {
      ...described,
      id: `${id}/p50`,
      text: `${text}, p50`,
      samples: { ms },
      note: `${ms.length} times; ${note}`,
    }
    return [
      plainLine(first, median(ms)),
      plainLine({ ...described, id: `${id}/p99`, text: `${text}, p99` }, quantile(ms, 0.99)),
    ]
  })
}

async function manyRulesLines(context: Context): Promise<Line[]> {
  const samples = await inProcesses(context, 'many-rules', Math.min(3, context.effort.engineProcesses))
  const prefixes = `a NetworkPolicy into the cluster above; it names ${count(typical(samples, 'prefixes'))} prefixes with an identity each`
  const again = `${count(typical(samples, 'subjects'))} kinds of pods are resolved again, for these identities are peers of most`
  const line = (id: string, text: string, name: string, target: number | undefined): Line => {
    const cpu = typical(samples, name === 'ms' ? 'cpuMs' : 'namespaceCpuMs').toFixed(0)
    const described = {
      id: `policy-engine/many-rules/${id}`,
      text,
      unit: 'ms',
      ...(target !== undefined && { target: { kind: 'at most', value: target } as const }),
      samples: { ms: samplesOf(samples, name) },
      note: `${prefixes}, and ${again}; ${cpu} ms of CPU time`,
    }
    return plainLine(described, typical(samples, name))
  }
  return [
    line('application', 'a policy of 10,000 rules added, for one application', 'ms', 500),
    line('namespace', 'the same for the ten applications of a namespace', 'namespaceMs', undefined),
  ]
}

async function explainLines(context: Context): Promise<Line[]> {
  const samples = await inProcesses(context, 'explain', 1, context.effort.engineChanges)
  const ms = samplesOf(samples, 'ms')
  const target = { kind: 'at most', value: 50 } as const
  const note = `${ms.length} random pairs of pods, and pods and the world; with the smallest change that would turn the verdict round`
  return [
    plainLine(
      {
        id: 'policy-engine/explain/p50',
        text: 'a connection explained, p50',
        unit: 'ms',
        target,
        samples: { ms },
        note,
      },
      median(ms),
    ),
    plainLine(
      { id: 'policy-engine/explain/p99', text: 'a connection explained, p99', unit: 'ms', target },
      quantile(ms, 0.99),
    ),
    plainLine(
      {
        id: 'policy-engine/explain-pod',
        text: 'all that may reach a pod, and that it may reach',
        unit: 'ms',
        samples: { ms: samplesOf(samples, 'podMs') },
      },
      typical(samples, 'podMs'),
    ),
  ]
}

async function reachLines(context: Context): Promise<Line[]> {
  const samples = await inProcesses(context, 'reach', Math.min(3, context.effort.engineProcesses))
  const described = {
    id: 'policy-engine/reach',
    text: 'who may reach whom: 1,000 pods, 4 ports',
    unit: 's',
    target: { kind: 'at most', value: 10 },
    samples: { seconds: samplesOf(samples, 'seconds') },
    note: `${count(typical(samples, 'rows'))} rows, of which ${count(typical(samples, 'allowed'))} allowed, under the same 1,000 policies; nothing is resolved before`,
  } as const
  return [plainLine(described, typical(samples, 'seconds'))]
}

async function contentLines(context: Context): Promise<Line[]> {
  const samples = await inProcesses(context, 'map-content', 1)
  const line = (id: string, text: string, names: readonly [entries: string, naive: string, written: string]): Line => {
    const [entries = 0, naive = 0, written = 0] = names.map(name => typical(samples, name))
    const ratio = entries / naive
    return {
      id: `policy-engine/map-content/${id}`,
      text,
      unit: 'entries',
      measured: entries,
      yardstick: { text: 'naive', value: naive },
      ratio: { median: ratio, low: ratio, high: ratio },
      verdict: 'no target',
      samples: {},
      note: `naive is an entry for each identity, rule and port prefix, ${count(written)}, less those with the key of another`,
    }
  }
  return [
    line('measured', 'policy maps of the 300 kinds of pods', ['entries', 'naive', 'written']),
    line('published', 'of the 115 published NetworkPolicy cases', [
      'publishedEntries',
      'publishedNaive',
      'publishedWritten',
    ]),
  ]
}
