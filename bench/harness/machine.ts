// Facts about the machine that the figures belong to.

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'

export type Machine = {
  readonly cpu: string
  readonly cpus: number
  readonly memoryGiB: number
  readonly virtualized: boolean
  readonly kernel: string
  readonly node: string
  /** Of all work on the machine, the minute before the start: other people's load. */
  readonly loadBefore: number
}

export function machineFacts(): Machine {
  const [first] = os.cpus()
  return {
    cpu: first?.model.trim() ?? 'unknown',
    cpus: os.cpus().length,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    virtualized: / hypervisor( |$)/m.test(readOrEmpty('/proc/cpuinfo')),
    kernel: os.release(),
    node: process.version,
    loadBefore: Math.round((os.loadavg()[0] ?? 0) * 100) / 100,
  }
}

export function machineText({ cpu, cpus, memoryGiB, virtualized, kernel, node, loadBefore }: Machine): string {
  return `${cpus} × ${cpu}${virtualized ? ' (a virtual machine)' : ''}, ${memoryGiB} GiB, Linux ${kernel}, Node ${node}, load before ${loadBefore}`
}

/** The commit that was measured, with `+` when files differ from it; undefined outside a checkout. */
export function measuredCommit(folder: string): string | undefined {
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', folder, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  try {
    const isChanged = git('status', '--porcelain', '--untracked-files=no', '--', 'bpf', 'src', 'bench/*.c') !== ''
    return `${git('rev-parse', '--short=10', 'HEAD')}${isChanged ? '+' : ''}`
  } catch {
    return undefined
  }
}

function readOrEmpty(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
