// Puts the socket programs on a control group, by pinned links: they stay when the agent
// ends, and an upgrade exchanges each between one system call and the next. Without a
// group, takes those of before away.

import fs from 'node:fs'
import { attachCgroup, type Link, type PinDirectory } from '../bpf/index.ts'
import type { SocketPrograms } from '../maps/index.ts'

const CGROUP2_MAGIC = 0x63677270

/** What was given for a control group is none. */
export class NoControlGroupError extends Error {
  override readonly name = 'NoControlGroupError'
  readonly code = 'NO_CONTROL_GROUP'

  constructor(folder: string, reason: string, cause?: unknown) {
    super(`--service-cgroup ${folder} ${reason}; give the folder of a control group of version 2`, { cause })
  }
}

/**
 * When it throws, nothing was added to what is attached.
 * @param folder of the control group
 * @param pins folder for the links alone
 * @throws NoControlGroupError, and what `attachCgroup` throws
 */
export function attachSockets(
  { programs, spec }: Pick<SocketPrograms, 'programs' | 'spec'>,
  folder: string,
  pins: PinDirectory,
): void {
  const group = controlGroupId(folder)
  const made = new Map<string, Link>()
  const kept: [Link, keyof typeof programs][] = []
  const elsewhere: Link[] = []
  try {
    for (const name of namesOf(programs)) {
      const pinned = pins.openLink(name)
      if (pinned?.info().cgroupId === group) {
        kept.push([pinned, name])
        continue
      }
      if (pinned) elsewhere.push(pinned)
      const attachType = spec.programs.get(name)?.attachType
      if (!attachType) throw new Error(`program ${name} does not say where it is attached`)
      made.set(name, attachCgroup(programs[name], folder, attachType))
    }
    for (const [link, name] of kept) if (link.info().programId !== programs[name].id) link.update(programs[name])
    for (const [name, link] of made) pins.replace(name, link)
    for (const link of elsewhere) link.detach()
    detach(
      pins,
      pins.list().filter(name => !Object.hasOwn(programs, name)),
    )
  } finally {
    for (const link of [...made.values(), ...kept.map(([link]) => link), ...elsewhere]) link.close()
  }
}

/** Sockets that are connected stay so. Nothing there is no error. */
export function detachSockets(pins: PinDirectory): void {
  detach(pins, pins.list())
}

/** Now, and not when the kernel gets to freeing the link. */
function detach(pins: PinDirectory, names: readonly string[]): void {
  for (const name of names) {
    using link = pins.openLink(name)
    link?.detach()
    pins.remove(name)
  }
}

/** @throws NoControlGroupError */
export function requireControlGroup(folder: string): void {
  controlGroupId(folder)
}

const namesOf = <Name extends string>(programs: Readonly<Record<Name, unknown>>): Name[] =>
  Object.keys(programs) as Name[]

function controlGroupId(folder: string): bigint {
  try {
    if (fs.statfsSync(folder).type === CGROUP2_MAGIC) return fs.statSync(folder, { bigint: true }).ino
  } catch (error) {
    throw new NoControlGroupError(folder, 'cannot be opened', error)
  }
  throw new NoControlGroupError(folder, 'is not a control group')
}
