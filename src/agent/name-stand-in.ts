// What the DNS server of the node's proxy does for names while no agent is there
// (docs/decisions/0023-names-while-the-agent-is-away.md), from the agent's side: that
// nothing is done as long as this one lives, what was done before, and what may be done
// after it.

import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { datapathName, NameHandover } from '../api/index.ts'
import { hostPrefix, type IdentityAudience } from '../controllers/index.ts'
import type { OutsideIdentity, TaughtName } from '../dns/index.ts'
import type { Datapath } from '../maps/index.ts'
import { FolderLock } from '../sys/folder-lock.ts'
import type { AgentConfiguration } from './configuration.ts'

export type NameStandIn = Disposable & {
  /** Answers of the time without an agent. */
  readonly taught: readonly TaughtName[]
  /** To be called when they stand in the journal. */
  forgetTaught(): void
  readonly audience: IdentityAudience
}

export type NameStandInOptions = {
  readonly configuration: Pick<AgentConfiguration, 'socket' | 'podCidrs' | 'nodeAddresses'>
  readonly datapath: Pick<Datapath, 'pins' | 'maps'>
}

/** The DNS server has the lock for less than a millisecond at a time. */
const PATIENCE_MS = 5_000
const RETRY_MS = 2

/** Before anything is read from the maps. @throws Error when somebody else writes them */
export async function standInForNames({ configuration, datapath }: NameStandInOptions): Promise<NameStandIn> {
  const { socket, podCidrs, nodeAddresses } = configuration
  const handover = new NameHandover(socket)
  const lock = datapath.pins && new FolderLock(datapath.pins.path)
  const isAlone = async (): Promise<boolean> => {
    for (const untilMs = performance.now() + PATIENCE_MS; performance.now() < untilMs; await sleep(RETRY_MS))
      if (lock?.take() !== false) return true
    return false
  }
  if (!(await isAlone()))
    throw new Error(`another process writes the maps in ${datapath.pins?.path}: end that agent first`)
  const name = datapathName(datapath.maps.ipcache.id)
  const own = [...podCidrs, ...nodeAddresses.map(hostPrefix)]
  const left = handover.identities()
  // What an agent before has said holds until this one changes it.
  let said: readonly OutsideIdentity[] = left?.datapath === name ? left.identities : []
  const say = (identities: readonly OutsideIdentity[]): void => {
    if (isDeepStrictEqual(said, identities)) return
    handover.writeIdentities({ datapath: name, own, identities })
    said = identities
  }
  // Whoever has become one of the cluster since gets no identity from now on.
  if (said.length > 0) handover.writeIdentities({ datapath: name, own, identities: said })
  return {
    taught: handover.taught(),
    forgetTaught: () => handover.forgetTaught(),
    audience: {
      restrict(identities) {
        const known = new Map(identities.map(each => [each.number, each]))
        say(said.filter(each => isDeepStrictEqual(known.get(each.number), each)))
      },
      publish: say,
    },
    [Symbol.dispose]: () => lock?.[Symbol.dispose](),
  }
}
