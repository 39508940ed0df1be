// `npm run bench`: measures, each against its yardstick in the same run, prints the table, and after a complete run
// writes bench/results.json and the measured part of bench/README.md. Removes everything it made, also when it fails
// or is interrupted.

import fs from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { SandboxError } from '../src/sandbox/index.ts'
import { machineFacts, machineText, measuredCommit } from './harness/machine.ts'
import type { Section } from './harness/result.ts'
import { markdownTable, notes, replaceMeasured, terminalTable } from './harness/table.ts'
import { measureAgentMemory, memorySection } from './measure/agent-memory.ts'
import { measureAgentStart } from './measure/agent-start.ts'
import { measureDatapath } from './measure/datapath.ts'
import { measureEndpointReady } from './measure/endpoint-ready.ts'
import { measureEvents } from './measure/events.ts'
import { L7_PARTS, measureL7 } from './measure/l7.ts'
import { type Context, FULL, type OwnMeasurement, PODS, QUICK, type TestbedMeasurement } from './measure/measurement.ts'
import { measurePodToPod, measureWithoutFlowEvents } from './measure/pod-to-pod.ts'
import { measurePolicyChange } from './measure/policy-change.ts'
import { measurePolicyEngine } from './measure/policy-engine.ts'
import { measureServices } from './measure/services.ts'
import { BusyError, lockMachine } from './testbed/lock.ts'
import { Testbed } from './testbed/testbed.ts'

const FOLDER = import.meta.dirname
const RESULTS = path.join(FOLDER, 'results.json')
const README = path.join(FOLDER, 'README.md')

/** In this order, with the agent's memory before and after, all in one sandbox. */
const IN_TESTBED: Readonly<Record<string, TestbedMeasurement>> = {
  'pod-to-pod': measurePodToPod,
  'policy-change': measurePolicyChange,
  'endpoint-ready': measureEndpointReady,
}
const AGENT_MEMORY = 'agent-memory'
/** Last: each start forgets the load that the memory is measured after. */
const AGENT_START = 'agent-start'
const ON_THEIR_OWN: Readonly<Record<string, OwnMeasurement>> = {
  'without-flow-events': measureWithoutFlowEvents,
  events: measureEvents,
  datapath: measureDatapath,
  'policy-engine': measurePolicyEngine,
}
const SERVICES = 'services'
/** All of its parts. */
const L7 = 'l7'
const NAMES = [
  ...Object.keys(IN_TESTBED),
  AGENT_MEMORY,
  AGENT_START,
  ...Object.keys(ON_THEIR_OWN),
  SERVICES,
  L7,
  ...L7_PARTS,
]
/** With `--long`: as many services as the largest clusters have; programming the yardsticks alone takes minutes. */
const LONG_COUNT = 30_000

const HELP = `npm run bench -- [--quick] [--long] [--rounds N] [--only NAME]…
  --quick     fewer rounds: about six minutes, and less sure
  --long      services: 30,000 of them as well
  --rounds N  rounds of what is compared with a yardstick
  --only NAME ${NAMES.join(', ')}; l7 is all that begin with it
A complete run writes bench/results.json and the table in bench/README.md.`

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  let options: Options | undefined
  try {
    options = parseOptions(args)
  } catch (error) {
    console.error(`${(error as Error).message}\n${HELP}`)
    return 2
  }
  if (!options) {
    console.log(HELP)
    return 0
  }
  const interrupt = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupt.abort(new Error('interrupted')))
  try {
    await run(options, interrupt.signal)
    return 0
  } catch (error) {
    if (interrupt.signal.aborted) console.error('interrupted; everything that was made is removed')
    else console.error(error instanceof BusyError || error instanceof SandboxError ? error.message : error)
    return interrupt.signal.aborted ? 130 : 1
  }
}

type Options = { readonly effort: Context['effort']; readonly names: ReadonlySet<string>; readonly isComplete: boolean }

function parseOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      long: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return undefined
  const unknown = values.only.find(name => !NAMES.includes(name))
  if (unknown !== undefined) throw new Error(`there is no measurement ${unknown}`)
  const base = values.quick ? QUICK : FULL
  const rounds = Number(values.rounds ?? base.rounds)
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${values.rounds} is not a number of rounds`)
  return {
    effort: {
      ...base,
      rounds,
      serviceCounts: [...base.serviceCounts, ...(values.long ? [LONG_COUNT] : [])],
      serviceRounds: values.rounds === undefined ? base.serviceRounds : rounds,
    },
    names: new Set(values.only.length > 0 ? values.only : NAMES),
    isComplete: !values.quick && values.only.length === 0,
  }
}

async function run({ effort, names, isComplete }: Options, signal: AbortSignal): Promise<void> {
  await using held = new AsyncDisposableStack()
  held.use(await lockMachine())
  const startedAt = new Date()
  const machine = machineFacts()
  console.log(machineText(machine))
  const context: Context = { effort, signal, say: step => console.log(`· ${step}`) }
  const sections = [...(await measureInTestbed(names, context)), ...(await measureOnTheirOwn(names, context))]
  console.log(`\n${terminalTable(sections)}\n${notes(sections).join('\n')}`)
  const results = {
    commit: measuredCommit(FOLDER),
    startedAt: startedAt.toISOString(),
    seconds: Math.round((Date.now() - startedAt.getTime()) / 1000),
    machine,
    effort,
    sections,
  }
  console.log(`\nmeasured in ${results.seconds} s`)
  if (!isComplete) {
    console.log('not a complete run: bench/results.json and bench/README.md stay as they are')
    return
  }
  fs.writeFileSync(RESULTS, `${JSON.stringify(results, undefined, 1)}\n`)
  const head = `${results.startedAt.slice(0, 10)}, commit ${results.commit ?? 'unknown'}, ${machineText(machine)}. ${results.seconds} s.`
  const content = [head, markdownTable(sections), ...notes(sections).map(note => `- ${note}`)].join('\n\n')
  fs.writeFileSync(README, replaceMeasured(fs.readFileSync(README, 'utf8'), content))
}

async function measureInTestbed(names: ReadonlySet<string>, context: Context): Promise<Section[]> {
  const measurements = Object.entries(IN_TESTBED).filter(([name]) => names.has(name))
  if (measurements.length === 0 && !names.has(AGENT_MEMORY) && !names.has(AGENT_START)) return []
  await using testbed = await Testbed.start({ ...context, pods: PODS, flowEvents: true })
  const atFirst = await measureAgentMemory(testbed, 'at first')
  const sections: Section[] = []
  for (const [, measure] of measurements) sections.push(await measure(testbed, context))
  if (names.has(AGENT_MEMORY)) sections.push(memorySection([atFirst, await measureAgentMemory(testbed, 'after load')]))
  if (names.has(AGENT_START)) sections.push(await measureAgentStart(testbed, context))
  return sections
}

async function measureOnTheirOwn(names: ReadonlySet<string>, context: Context): Promise<Section[]> {
  const sections: Section[] = []
  for (const [name, measure] of Object.entries(ON_THEIR_OWN)) if (names.has(name)) sections.push(await measure(context))
  if (names.has(SERVICES)) sections.push(...(await measureServices(context)))
  sections.push(...(await measureL7(context, name => names.has(L7) || names.has(name))))
  return sections
}
