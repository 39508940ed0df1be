// Launches HAProxy: writes its configuration and its maps, starts it with the listening
// sockets, and brings it further rule sets by its runtime API. What the configuration and
// the maps say is ./haproxy's business; here they are only kept.
//
// HAProxy is not root, and folders above its own may be closed to it: it is started in its
// folder, and all paths that it is given begin there.
//
// The lines of a set that is gone stay in the maps: no connection names its number any
// more, and taking single lines out costs a search each. When they are many, or when a
// number comes back with another content, the maps are exchanged as a whole.

import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { L7RuleSet } from '../policy/index.ts'
import type { RuleSetChange, RuleSetFailure } from './child.ts'
import type {
  HaproxyMapEntry,
  HaproxyOptions,
  HttpEvents,
  ListeningDescriptors,
  TlsContextFiles,
} from './haproxy/options.ts'
import type { Use } from './need.ts'
import { type SystemUser, spawnWithRights } from './rights.ts'
import { type MapLine, RuntimeApi } from './runtime-api.ts'
import type { Launched, Launcher } from './server-process.ts'

/** What HAProxy is to be configured with. */
export type HaproxyRules = {
  readonly configuration: (options: HaproxyOptions) => string
  /** Every map that the configuration names. */
  readonly maps: readonly string[]
  /** In the order in which they may come into force. @throws for a set that it cannot judge by */
  readonly entries: (set: L7RuleSet) => readonly HaproxyMapEntry[]
}

export type HaproxyLauncherOptions = {
  readonly rules: HaproxyRules
  /** Of it alone, made where it is missing. */
  readonly folder: string
  /** What comes with the package, to be copied into its folder. */
  readonly files: readonly string[]
  /** Of the listening sockets, IPv4 and IPv6: of HTTP, and of TLS that is not opened. */
  readonly descriptors: readonly [number, number] | readonly [number, number, number, number]
  /** Of TLS that ends or begins on the connections of HTTP. */
  readonly context?: HaproxyContext
  /** Root unless given. */
  readonly user: SystemUser | undefined
  readonly maxConnections: number
  /** One for each processor unless given. */
  readonly threads?: number
  /** Body of denials. */
  readonly deniedBody: string
  readonly httpEvents: HttpEvents
  readonly httpHeaders: readonly string[]
  readonly onOutput: (text: string) => void
}

export type HaproxyContext = {
  /** Of the process. */
  readonly name: string
  /** Whether a set is of this context. */
  readonly has: (set: L7RuleSet) => boolean
  /** In PEM, by names that `files` has. They are removed by whoever removes the folder. */
  readonly texts: Readonly<Record<string, string>>
  readonly files: TlsContextFiles
}

const FIRST_DESCRIPTOR = 3
const START_POLL_MS = 20
/** In the answer to `show info`; those of the runtime API are not counted. */
const CONNECTIONS = /^CurrConns: (\d+)$/m
/** Lines of sets that are gone, beyond as many as there are of others. */
const SPARE_LINES = 50_000

export function haproxyLauncher(options: HaproxyLauncherOptions): Launcher {
  const { context } = options
  return {
    name: context?.name ?? 'haproxy',
    parsers: context ? ['http'] : ['http', 'tls'],
    isFor: set => (context ? context.has(set) : !hasTlsContext(set)),
    sockets: options.descriptors,
    async launch(ruleSets) {
      prepare(options)
      const { folder, rules, user } = options
      const maps = new RuleMaps(rules, new RuntimeApi(path.join(folder, HAPROXY_PLACES.runtimeSocket)))
      const failures = maps.writeFiles(ruleSets, folder, user)
      const child = spawnWithRights(
        ['haproxy', '-db', '-f', HAPROXY_PLACES.configuration],
        // To speak as a client. With net_admin it could let connections go without a word, where they are to be reset.
        { capabilities: ['net_raw'], user },
        { folder, stdio: ['ignore', 'pipe', 'pipe', ...options.descriptors] },
      )
      for (const stream of [child.stdout, child.stderr])
        stream?.on('data', (text: Buffer) => options.onOutput(text.toString()))
      return {
        process: child,
        serving: maps.whenServed(() => child.exitCode === null && child.signalCode === null).then(() => failures),
        apply: change => maps.apply(change),
        counts: () => ({ lines: maps.lines, linesOfSetsThatAreGone: maps.garbage }),
        use: () => maps.use(),
      } satisfies Launched
    },
  }
}

/** Whether TLS ends or begins at the proxy where the set judges. */
export const hasTlsContext = ({ rules }: L7RuleSet): boolean =>
  rules.parser === 'http' && (rules.terminating !== undefined || rules.originating !== undefined)

/** Names in HAProxy's folder. */
export const HAPROXY_PLACES = {
  configuration: 'haproxy.cfg',
  maps: 'maps',
  files: 'files',
  certificates: 'certificates',
  deniedBody: 'denied-body',
  runtimeSocket: 'run/runtime.sock',
  /** Where it looks for whoever takes its lines. */
  logSocket: 'run/events.sock',
} as const

/** Makes HAProxy's folder, of which only `run` is its own to write in. */
export function makeHaproxyFolder(folder: string, user: SystemUser | undefined): void {
  const { maps, files, certificates, runtimeSocket } = HAPROXY_PLACES
  for (const name of ['', maps, files, certificates])
    makeFolder(path.join(folder, name), 0o750, user && { uid: 0, gid: user.gid })
  makeFolder(path.join(folder, path.dirname(runtimeSocket)), 0o700, user)
}

/** Writes what HAProxy reads at its start, readable for its user and nobody else. */
function prepare(options: HaproxyLauncherOptions): void {
  const { folder, user } = options
  const places = HAPROXY_PLACES
  makeHaproxyFolder(folder, user)
  fs.rmSync(path.join(folder, places.runtimeSocket), { force: true })
  for (const file of options.files)
    writeFor(path.join(folder, places.files, path.basename(file)), fs.readFileSync(file, 'utf8'), user)
  writeFor(path.join(folder, places.deniedBody), options.deniedBody, user)
  for (const [name, text] of Object.entries(options.context?.texts ?? {}))
    writeFor(path.join(folder, places.certificates, name), text, user)
  const text = options.rules.configuration({
    sockets: socketOptions(options.descriptors.length > 2),
    tlsContext: options.context && inFolder(options.context.files),
    runtimeSocket: `unix@${places.runtimeSocket}`,
    logSocket: places.logSocket,
    maps: places.maps,
    files: places.files,
    maxConnections: options.maxConnections,
    ...(options.threads !== undefined && { threads: options.threads }),
    deniedBody: places.deniedBody,
    told: options.httpEvents,
    toldHeaders: options.httpHeaders,
  })
  writeFor(path.join(folder, places.configuration), text, user)
}

function socketOptions(withTls: boolean): HaproxyOptions['sockets'] {
  const pairFrom = (first: number): ListeningDescriptors => ({ ipv4: first, ipv6: first + 1 })
  return { http: pairFrom(FIRST_DESCRIPTOR), ...(withTls && { tls: pairFrom(FIRST_DESCRIPTOR + 2) }) }
}

function inFolder({ terminating, originating }: TlsContextFiles): TlsContextFiles {
  const placed = <Files extends Readonly<Record<string, string>>>(files: Files): Files =>
    Object.fromEntries(
      Object.entries(files).map(([use, name]) => [use, `${HAPROXY_PLACES.certificates}/${name}`]),
    ) as Files
  return {
    ...(terminating && { terminating: placed(terminating) }),
    ...(originating && { originating: placed(originating) }),
  }
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
  /** What is in the maps, as rules: their lines are larger, and made again where all are wanted. */
  readonly #sets = new Map<number, { readonly set: L7RuleSet; readonly lines: number }>()
  /** Numbers of sets that are gone and have lines in the maps still. */
  readonly #gone = new Set<number>()
  lines = 0
  garbage = 0

  constructor(rules: HaproxyRules, api: RuntimeApi) {
    this.#rules = rules
    this.#api = api
  }

  writeFiles(ruleSets: readonly L7RuleSet[], folder: string, user: SystemUser | undefined): RuleSetFailure[] {
    const { entries, failures } = this.#remember(ruleSets)
    for (const [map, lines] of this.#byMap(entries)) {
      const text = lines.map(({ key, value }) => `${key} ${value}\n`).join('')
      writeFor(path.join(folder, nameOf(map)), text, user)
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
    for (const number of remove) this.#forget(number)
    const isReplaced = add.some(({ number }) => this.#gone.has(number))
    const { entries, failures } = this.#remember(add)
    if (isReplaced || this.garbage > this.lines + SPARE_LINES) await this.#exchange()
    else for (const [map, lines] of this.#byMap(entries)) await this.#api.addToMap(nameOf(map), lines)
    return failures
  }

  async use(): Promise<Use | undefined> {
    const answer = await this.#api.ask('show info').catch(() => '')
    const [, open] = CONNECTIONS.exec(answer) ?? []
    // Those that have come and gone were not for long without rules.
    return open === undefined ? undefined : { open: Number(open), ever: 0 }
  }

  async #exchange(): Promise<void> {
    const entries = [...this.#sets.values()].flatMap(({ set }) => this.#rules.entries(set))
    for (const [map, lines] of this.#byMap(entries)) await this.#api.replaceMap(nameOf(map), lines)
    this.#gone.clear()
    this.garbage = 0
  }

  /** @returns the entries, and the sets without */
  #remember(sets: readonly L7RuleSet[]): { readonly entries: HaproxyMapEntry[]; readonly failures: RuleSetFailure[] } {
    const entries: HaproxyMapEntry[][] = []
    const failures: RuleSetFailure[] = []
    for (const set of sets)
      try {
        const own = [...this.#rules.entries(set)]
        entries.push(own)
        this.#sets.set(set.number, { set, lines: own.length })
        this.lines += own.length
      } catch (error) {
        failures.push({ number: set.number, error: error instanceof Error ? error.message : String(error) })
      }
    return { entries: entries.flat(), failures }
  }

  #forget(number: number): void {
    const { lines = 0 } = this.#sets.get(number) ?? {}
    this.#sets.delete(number)
    if (lines > 0) this.#gone.add(number)
    this.lines -= lines
    this.garbage += lines
  }

  /** Of every map, also of one without lines. */
  #byMap(entries: readonly HaproxyMapEntry[]): Map<string, MapLine[]> {
    const lines = new Map<string, MapLine[]>(this.#rules.maps.map(name => [name, []]))
    for (const entry of entries) lines.get(entry.map)?.push(entry)
    return lines
  }
}

/** By its file's name, as the configuration has it, HAProxy knows a map. */
const nameOf = (map: string): string => `${HAPROXY_PLACES.maps}/${map}.map`
