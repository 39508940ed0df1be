// What an agent with 50 pods takes of the machine's memory, after the load of the measurements before.

import fs from 'node:fs'
import { type Line, plainLine, type Section } from '../harness/result.ts'
import type { Testbed } from '../testbed/testbed.ts'
import { PODS } from './measurement.ts'

const TARGET_MB = 130

/** @param when `at first` or `after load` */
export async function measureAgentMemory(testbed: Testbed, when: string): Promise<Line> {
  const { pid } = await testbed.agentProcess()
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8')
  const megabytes = (field: string): number => {
    const kibibytes = new RegExp(`^${field}:\\s*(\\d+) kB`, 'm').exec(status)?.[1]
    return (Number(kibibytes) * 1024) / 1e6
  }
  const parts = { anonymous: megabytes('RssAnon'), files: megabytes('RssFile'), shared: megabytes('RssShmem') }
  return plainLine(
    {
      id: `agent-memory/${when.replaceAll(' ', '-')}`,
      text: `resident, ${when}`,
      unit: 'MB',
      target: { kind: 'at most', value: TARGET_MB },
      samples: { resident: [megabytes('VmRSS')], peak: [megabytes('VmHWM')] },
      note:
        `${parts.anonymous.toFixed(0)} MB its own, ${parts.files.toFixed(0)} MB of files such as Node itself, ` +
        `${parts.shared.toFixed(0)} MB shared; at most ${megabytes('VmHWM').toFixed(0)} MB since its start`,
    },
    megabytes('VmRSS'),
  )
}

export const memorySection = (lines: readonly Line[]): Section => ({
  name: 'agent-memory',
  title: `Memory of the agent, ${PODS} pods`,
  lines,
})
