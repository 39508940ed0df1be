// An agent's start with pinned state and 50 endpoints: from the start of its process to ready, which is when all that is
// wanted is in the kernel. Half of the agents before it ended by themselves (SIGTERM), half were killed.

import fs from 'node:fs'
import { type Line, plainLine } from '../harness/result.ts'
import { median } from '../harness/statistics.ts'
import type { Testbed } from '../testbed/testbed.ts'
import { type Context, PODS, type TestbedMeasurement } from './measurement.ts'

const TARGET_SECONDS = 1.5
/** USER_HZ, in which Linux gives times to programs, whatever it counts in itself. */
const TICKS_PER_SECOND = 100

export const measureAgentStart: TestbedMeasurement = async (testbed, context) => {
  const lines: Line[] = []
  for (const how of ['SIGTERM', 'SIGKILL'] as const) lines.push(await measureAfter(how, testbed, context))
  return { name: 'agent-start', title: `Agent started → ready, ${PODS} endpoints, pinned state`, lines }
}

async function measureAfter(
  how: 'SIGTERM' | 'SIGKILL',
  testbed: Testbed,
  { effort, signal, say }: Context,
): Promise<Line> {
  const seconds: number[] = []
  for (let i = 0; i < effort.restarts; i++) {
    say(`agent restarts after ${how}, ${i + 1} of ${effort.restarts}`)
    const { pid: before } = await testbed.agentProcess()
    process.kill(before, how)
    await testbed.until('a new agent is ready', async () => isReadyAfter(before, testbed), signal)
    const { pid, startedAt, readyAfterMs, counts } = await testbed.agent.status()
    if (counts['endpoints'] !== PODS)
      throw new Error(`the new agent knows ${counts['endpoints']} endpoints, not ${PODS}`)
    seconds.push((Date.parse(startedAt) + (readyAfterMs ?? Number.NaN) - processStartMs(pid)) / 1000)
  }
  const described = {
    id: `agent-start/${how.toLowerCase()}`,
    text: `after ${how}, median of ${seconds.length}`,
    unit: 's',
    target: { kind: 'at most', value: TARGET_SECONDS },
    samples: { seconds },
  } as const
  return plainLine(described, median(seconds))
}

async function isReadyAfter(before: number, testbed: Testbed): Promise<boolean> {
  try {
    const { pid, isReady } = await testbed.agentProcess()
    return pid !== before && isReady
  } catch {
    return false // between two agents
  }
}

/** Milliseconds since 1970, within a hundredth of a second. */
function processStartMs(pid: number): number {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name, in brackets, may hold anything; the start is the 22nd field, and 20th after it.
  const startTicks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
  const [uptime] = fs.readFileSync('/proc/uptime', 'utf8').split(' ')
  return Date.now() - (Number(uptime) - startTicks / TICKS_PER_SECOND) * 1000
}
