// Gives addresses of names their identities while no agent is there, so that names keep
// working: one write of the ipcache, as the agent would make it, with a number that the
// policy maps know. Only with the lock that an agent holds for as long as it lives, and
// only where the agent has said which number; what is not sure is not written.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { datapathName, NameHandover } from '../../api/index.ts'
import { type BpfMap, PinDirectory } from '../../bpf/index.ts'
import { whyNotOutside } from '../../controllers/outside-addresses.ts'
import type { OutsideIdentities, TaughtName } from '../../dns/index.ts'
import { cidr, parseIp } from '../../ip/index.ts'
import {
  type IpcacheEntry,
  type IpcacheKey,
  ipcacheQuestion,
  type Runtime,
  readDatapathObject,
} from '../../maps/index.ts'
// Not by the face of the area, which is all of the policy engine: a server is to be small.
import { canonicalName, NameSelectors } from '../../policy/model/name-selector.ts'
import { FolderLock } from '../../sys/folder-lock.ts'
import type { DnsCounts } from './counts.ts'

export type StandInOptions = {
  readonly handover: Pick<NameHandover, 'identities' | 'addTaught'>
  readonly lock: Pick<FolderLock, 'take' | 'release'>
  readonly ipcache: Pick<BpfMap<IpcacheKey, IpcacheEntry>, 'get' | 'set'>
  readonly runtime: Pick<BpfMap<number, Runtime>, 'get' | 'set'>
  /** That identities must be of. */
  readonly datapath: string
  readonly counts: Pick<DnsCounts, 'standIn'>
}

/** `in force`: all of it, and written down for the agent. `agent there`: it writes. `not mine`: no selector means it, or not all of it can be given here. */
export type StandInOutcome = 'in force' | 'agent there' | 'not mine'

/** The identities in the form in which they are looked for. */
type Known = {
  readonly of: OutsideIdentities
  readonly own: readonly ReturnType<typeof cidr>[]
  readonly selectors: NameSelectors
  readonly bases: ReadonlySet<number>
  readonly byNumber: ReadonlyMap<number, OutsideIdentities['identities'][number]>
  /** By base and selectors. */
  readonly numbers: ReadonlyMap<string, number>
}

export class StandIn {
  readonly #options: StandInOptions
  #known: Known | undefined

  constructor(options: StandInOptions) {
    this.#options = options
  }

  /** Of the datapath that is pinned in a folder. @throws Error where none is */
  static open(folder: string, agentSocket: string, counts: StandInOptions['counts']): StandIn {
    const object = readFileSync(fileURLToPath(new URL('../../../build/pod.o', import.meta.url)))
    const { spec, schema } = readDatapathObject(object)
    const pins = PinDirectory.open(folder, schema.version, { otherVersions: 'keep' })
    const ipcache = pins.openMap<IpcacheKey, IpcacheEntry>('ipcache', spec.maps.get('ipcache'))
    const runtime = pins.openMap<number, Runtime>('runtime', spec.maps.get('runtime'))
    if (!ipcache || !runtime) throw new Error(`no addresses are pinned in ${pins.path}: start the agent first`)
    const lock = new FolderLock(pins.path)
    const handover = new NameHandover(agentSocket)
    return new StandIn({ handover, lock, ipcache, runtime, datapath: datapathName(ipcache.id), counts })
  }

  teach(taught: TaughtName): StandInOutcome {
    const { lock } = this.#options
    try {
      if (!lock.take()) return 'agent there'
      return this.#teachAlone(taught) ? 'in force' : 'not mine'
    } catch {
      // A full map or disk: the address stays as it is, and the agent will be told.
      return 'not mine'
    } finally {
      lock.release()
    }
  }

  #teachAlone(taught: TaughtName): boolean {
    const { handover, ipcache, counts, datapath } = this.#options
    const identities = handover.identities()
    if (!identities || identities.datapath !== datapath) return false
    if (this.#known?.of !== identities) this.#known = knownOf(identities)
    const selectors = this.#known.selectors.selecting(canonicalName(taught.name))
    if (selectors.length === 0) return false
    const changes: (readonly [IpcacheKey, number])[] = []
    let isAll = true
    const given = taught.addresses.filter(({ address }) => {
      const change = this.#change(address, selectors)
      if (change === 'none') return false
      if (change === undefined) isAll = false
      else if (change.length > 0) changes.push(...change)
      return change !== undefined
    })
    // Before it is in force: what is not written down is pruned by the agent to come.
    if (given.length > 0 && !handover.addTaught({ ...taught, addresses: given })) return false
    for (const [key, identity] of changes) ipcache.set(key, { identity, flags: 0 })
    if (changes.length > 0) this.#raiseRevision()
    counts.standIn += changes.length
    return isAll
  }

  /**
   * What is to be written that an address has these selectors; empty where it has them.
   * @returns 'none' for an address that no name can have; undefined where nobody said which identity that is
   */
  #change(text: string, selectors: readonly string[]): (readonly [IpcacheKey, number])[] | 'none' | undefined {
    const address = parseIp(text)
    const known = this.#known
    if (!known || !address || whyNotOutside(address, known.own) !== undefined) return 'none'
    const key = ipcacheQuestion(address)
    const current = this.#options.ipcache.get(key)
    if (!current || current.flags !== 0) return undefined
    const now = known.byNumber.get(current.identity)
    const base = now?.base ?? (known.bases.has(current.identity) ? current.identity : undefined)
    if (base === undefined) return undefined
    const number = known.numbers.get(keyOf(base, [...(now?.selectors ?? []), ...selectors]))
    if (number === undefined) return undefined
    return number === current.identity ? [] : [[key, number]]
  }

  /** Connections judged before are judged again. */
  #raiseRevision(): void {
    const { runtime } = this.#options
    const now = runtime.get(0) ?? { revision: 0, proxies: 0 }
    runtime.set(0, { ...now, revision: (now.revision + 1) >>> 0 })
  }
}

function knownOf(of: OutsideIdentities): Known {
  const { own, identities } = of
  return {
    of,
    own: own.map(cidr),
    selectors: new NameSelectors(new Set(identities.flatMap(({ selectors }) => selectors))),
    bases: new Set(identities.map(({ base }) => base)),
    byNumber: new Map(identities.map(each => [each.number, each])),
    numbers: new Map(identities.map(({ number, base, selectors }) => [keyOf(base, selectors), number])),
  }
}

const keyOf = (base: number, selectors: readonly string[]): string =>
  [base, ...[...new Set(selectors)].sort()].join(' ')
