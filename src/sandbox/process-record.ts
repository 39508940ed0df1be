// Which process is meant by a number that was written down: process numbers are used again, start times are not.

import fs from 'node:fs'

export type ProcessRecord = {
  readonly pid: number
  /** Clock ticks after boot, from /proc/PID/stat. */
  readonly startTicks: number
  /** Of this boot of the kernel. */
  readonly bootId: string
}

/** @returns undefined when there is no such process, or it has ended and waits to be collected */
export function recordOf(pid: number): ProcessRecord | undefined {
  let stat: string
  try {
    stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
  // The second field is the program's name in parentheses, with whatever it contains. Then come state (3rd) … start time (22nd).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined
  const bootId = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return { pid, startTicks: Number(fields[19]), bootId }
}

export function isAlive(record: ProcessRecord): boolean {
  const now = recordOf(record.pid)
  return now !== undefined && now.startTicks === record.startTicks && now.bootId === record.bootId
}
