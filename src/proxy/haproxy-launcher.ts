// Launches HAProxy: writes its configuration and its maps, starts it with the listening
// sockets, and brings it further rule sets by its runtime API. What the configuration and
// the maps say is ./haproxy's business; here they are only kept.
//
// The lines of a set that is gone stay in the maps: no connection names its number any
// more, and taking single lines out costs a search each. When they are many, or when a
// number comes back with another content, the maps are exchanged as a whole.

import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { L7RuleSet } from '../policy/index.ts'
import type { RuleSetChange, RuleSetFailure } from './child.ts'
import { HAPROXY_KINDS, type HaproxyMapEntry, type HaproxyOptions } from './haproxy/options.ts'
import { type SystemUser, spawnWithRights } from './rights.ts'
import { type MapLine, RuntimeApi } from './runtime-api.ts'
import type { Launched, Launcher } from './server-process.ts'

/** What HAProxy is to be configured with. */
export type HaproxyRules = {
  readonly configuration: (options: HaproxyOptions) => string
  /** Every map that the configuration names. */
  readonly maps: readonly string[]
  /** @throws for a set that it cannot judge by */
  readonly entries: (set: L7RuleSet) => readonly HaproxyMapEntry[]
}

export type HaproxyLauncherOptions = {
  readonly rules: HaproxyRules
  /** Of it alone, made where it is missing; its name is part of the names of sockets. */
  readonly folder: string
  readonly files: string
  readonly logSocket: string
  /** Of the listening sockets: of HTTP, TLS and HTTPS, IPv4 and IPv6 of each. */
  readonly descriptors: readonly [number, number, number, number, number, number]
  /** Root unless given. */
  readonly user: SystemUser | undefined
  readonly maxConnections: number
  readonly onOutput: (text: string) => void
}

const FIRST_DESCRIPTOR = 3
const START_POLL_MS = 20
/** Lines of sets that are gone, beyond as many as there are of others. */
const SPARE_LINES = 2_000

export function haproxyLauncher(options: HaproxyLauncherOptions): Launcher {
  return {
    name: 'haproxy',
    parsers: ['http', 'tls'],
    async launch(ruleSets) {
      const places = prepare(options)
      const maps = new RuleMaps(options.rules, new RuntimeApi(places.runtimeSocket), places.maps)
      const failures = maps.writeFiles(ruleSets, options.user)
      const child = spawnWithRights(
        ['haproxy', '-db', '-f', places.configuration],
        { capabilities: ['net_admin'], user: options.user },
        ['ignore', 'pipe', 'pipe', ...options.descriptors],
      )
      for (const stream of [child.stdout, child.stderr])
        stream?.on('data', (text: Buffer) => options.onOutput(text.toString()))
      return {
        process: child,
        serving: maps.whenServed(() => child.exitCode === null && child.signalCode === null).then(() => failures),
        apply: change => maps.apply(change),
        counts: () => ({ lines: maps.lines, linesOfSetsThatAreGone: maps.garbage }),
      } satisfies Launched
    },
  }
}

type Places = { readonly configuration: string; readonly maps: string; readonly runtimeSocket: string }

/** Writes what HAProxy reads at its start, readable for its user and nobody else. */
function prepare(options: HaproxyLauncherOptions): Places {
  const { folder, user } = options
  const [maps, certificates, run] = ['maps', 'certificates', 'run'].map(name => path.join(folder, name)) as [
    string,
    string,
    string,
  ]
  for (const place of [folder, maps, certificates]) makeFolder(place, 0o750, user && { uid: 0, gid: user.gid })
  makeFolder(run, 0o700, user)
  const runtimeSocket = path.join(run, 'runtime.sock')
  fs.rmSync(runtimeSocket, { force: true })
  const configuration = path.join(folder, 'haproxy.cfg')
  const text = options.rules.configuration({
    sockets: socketOptions(),
    runtimeSocket,
    logSocket: options.logSocket,
    maps,
    files: options.files,
    certificates,
    maxConnections: options.maxConnections,
  })
  writeFor(configuration, text, user)
  return { configuration, maps, runtimeSocket }
}

function socketOptions(): HaproxyOptions['sockets'] {
  const pairs = HAPROXY_KINDS.map((kind, at) => {
    const ipv4 = FIRST_DESCRIPTOR + 2 * at
    return [kind, { ipv4, ipv6: ipv4 + 1 }] as const
  })
  return Object.fromEntries(pairs) as HaproxyOptions['sockets']
}

function makeFolder(folder: string, mode: number, owner: SystemUser | undefined): void {
  fs.mkdirSync(folder, { recursive: true })
  fs.chmodSync(folder, mode)
  if (owner) fs.chownSync(folder, owner.uid, owner.gid)
}

function writeFor(file: string, text: string, user: SystemUser | undefined): void {
  fs.writeFileSync(file, text, { mode: 0o640 })
  if (user) fs.chownSync(file, 0, user.gid)
}

/** The maps of one process. */
class RuleMaps {
  readonly #rules: HaproxyRules
  readonly #api: RuntimeApi
  readonly #folder: string
  readonly #sets = new Map<number, readonly HaproxyMapEntry[]>()
  lines = 0
  garbage = 0

  constructor(rules: HaproxyRules, api: RuntimeApi, folder: string) {
    this.#rules = rules
    this.#api = api
    this.#folder = folder
  }

  writeFiles(ruleSets: readonly L7RuleSet[], user: SystemUser | undefined): RuleSetFailure[] {
    const failures = this.#remember(ruleSets)
    for (const [map, lines] of this.#linesByMap()) {
      const text = lines.map(({ key, value }) => `${key} ${value}\n`).join('')
      writeFor(this.#path(map), text, user)
    }
    return failures
  }

  async whenServed(isAlive: () => boolean): Promise<void> {
    for (;;) {
      const answer = await this.#api.ask('show version').catch((error: Error) => error)
      if (!(answer instanceof Error)) return
      if (!isAlive()) throw answer
      await sleep(START_POLL_MS)
    }
  }

  async apply({ add, remove }: RuleSetChange): Promise<readonly RuleSetFailure[]> {
    const comesBack = new Set(add.map(({ number }) => number))
    const isReplaced = remove.some(number => comesBack.has(number))
    for (const number of remove) this.#forget(number)
    const failures = this.#remember(add)
    if (isReplaced || this.garbage > this.lines + SPARE_LINES) await this.#exchange()
    else await this.#add(add)
    return failures
  }

  async #add(sets: readonly L7RuleSet[]): Promise<void> {
    const entries = sets.flatMap(({ number }) => this.#sets.get(number) ?? [])
    for (const [map, lines] of Map.groupBy(entries, entry => entry.map))
      await this.#api.addToMap(this.#path(map), lines)
  }

  async #exchange(): Promise<void> {
    for (const [map, lines] of this.#linesByMap()) await this.#api.replaceMap(this.#path(map), lines)
    this.garbage = 0
  }

  /** @returns the sets without entries */
  #remember(sets: readonly L7RuleSet[]): RuleSetFailure[] {
    return sets.flatMap(set => {
      try {
        const entries = this.#rules.entries(set)
        this.#sets.set(set.number, entries)
        this.lines += entries.length
        return []
      } catch (error) {
        return [{ number: set.number, error: error instanceof Error ? error.message : String(error) }]
      }
    })
  }

  #forget(number: number): void {
    const entries = this.#sets.get(number) ?? []
    this.#sets.delete(number)
    this.lines -= entries.length
    this.garbage += entries.length
  }

  #linesByMap(): Map<string, MapLine[]> {
    const lines = new Map<string, MapLine[]>(this.#rules.maps.map(name => [name, []]))
    for (const entries of this.#sets.values()) for (const entry of entries) lines.get(entry.map)?.push(entry)
    return lines
  }

  #path(map: string): string {
    return path.join(this.#folder, `${map}.map`)
  }
}
