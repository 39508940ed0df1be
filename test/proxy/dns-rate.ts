// Measures the DNS server of the proxy: questions a second, how long they take, and its
// CPU time for each, beside the same server asked without it. Run it by hand, as root, on
// a quiet machine: node test/proxy/dns-rate.ts

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { L7RuleSet } from '../../src/policy/index.ts'
import { DnsNode, POD, SERVER } from './dns-node.ts'

const SECONDS = 3
const PORT = 40_000
const RULES: L7RuleSet = {
  number: 7,
  rules: {
    parser: 'dns',
    rules: Array.from({ length: 1000 }, (_, i) => ({ rule: 'r', field: String(i), pattern: `*.zone${i}.example.` })),
  },
}
const LOAD = path.join(import.meta.dirname, 'dns-load-program.ts')

/** User and system time of a process so far; the kernel counts in hundredths of a second. */
function cpuMicros(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

type Rate = { readonly rate: number; readonly p50Micros: number; readonly p99Micros: number; readonly lost: number }

async function load(node: DnsNode, onTheirWay: number, name: string): Promise<Rate> {
  const program = node.inPod([LOAD, POD[4], String(PORT), SERVER[4], String(onTheirWay), String(SECONDS), name])
  const [output] = (await once(program.stdout ?? program, 'data')) as [Buffer]
  await once(program, 'exit')
  return JSON.parse(output.toString()) as Rate
}

const node = await DnsNode.start({}, true)
await node.apply([RULES])
node.flow({ from: POD[4], port: PORT, to: SERVER[4], transport: 'UDP' }, 7)
for (const onTheirWay of [1, 16, 64])
  for (const name of ['aN.zone500.example', 'aN.denied.example']) {
    const before = cpuMicros(node.childPid)
    const rate = await load(node, onTheirWay, name)
    const cpu = (cpuMicros(node.childPid) - before) / (rate.rate * SECONDS)
    console.log({ onTheirWay, name, ...rate, cpuMicros: Number(cpu.toFixed(1)) })
  }
await node.killChild()
await node.lead()
for (const onTheirWay of [1, 16, 64])
  console.log({ onTheirWay, direct: true, ...(await load(node, onTheirWay, 'aN.zone500.example')) })
node[Symbol.dispose]()
process.exit()
