// Processor time that processes have spent, so that work can be reckoned by processors whatever else they do.

import fs from 'node:fs'

/** Since it was made. A process must live until it is asked about. */
export class ProcessorTime<Name extends string> {
  readonly #processes: Readonly<Record<Name, number>>
  readonly #before: Readonly<Record<Name, number>>

  /** @param processes their ids. @throws Error when one is not there */
  constructor(processes: Readonly<Record<Name, number>>) {
    this.#processes = processes
    this.#before = all(processes)
  }

  /** User and system time of each. */
  seconds(): Readonly<Record<Name, number>> {
    const now = Object.entries<number>(all(this.#processes))
    return Object.fromEntries(now.map(([name, value]) => [name, value - this.#before[name as Name]])) as Record<
      Name,
      number
    >
  }
}

const all = <Name extends string>(processes: Readonly<Record<Name, number>>): Record<Name, number> =>
  Object.fromEntries(Object.entries<number>(processes).map(([name, pid]) => [name, spentBy(pid)])) as Record<
    Name,
    number
  >

/** The kernel tells it in hundredths of a second. */
function spentBy(pid: number): number {
  const fields = fs
    .readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
