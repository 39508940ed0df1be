// The agent's socket programs: on the control group it was told, or on none; and the
// node's own sockets whose backend goes.

import fs from 'node:fs'
import { release } from 'node:os'
import { fileURLToPath } from 'node:url'
import { type Feature, type ProbeResult, probe } from '../bpf/index.ts'
import { type Datapath, loadSocketPrograms, type SocketPrograms } from '../maps/index.ts'
import { type Namespace, NETLINK_SOCK_DIAG, NetlinkSocket, namespaceCookie } from '../net/index.ts'
import { attachSockets, destroyStaleSockets, detachSockets } from '../reconcilers/index.ts'
import type { Log } from './log.ts'
import type { LoadedBeside } from './routes.ts'

const LINKS = 'socket-links'
/** Backends that go together are one look at the node's sockets. */
const GATHER_MS = 100

export type AgentSockets = Disposable & {
  readonly loaded: LoadedBeside
  /** To be called when backends are gone from the map. */
  backendsGone(): void
}

export type SocketsOptions = {
  readonly datapath: Datapath
  readonly node: Namespace
  /** Folder of the control group; undefined: no socket programs. */
  readonly cgroup: string | undefined
  readonly log: Log
  /** Asks the kernel what it has. */
  readonly ask?: (feature: Feature) => ProbeResult
}

/**
 * Loads the programs and puts them in the place of those of before. Without a group, and on a kernel that cannot
 * have them, those are taken away.
 * @returns undefined where there are none
 * @throws NoControlGroupError, and what loading and attaching throw; nothing was added then to what is attached
 */
export function openSockets({ datapath, node, cgroup, log, ask = probe }: SocketsOptions): AgentSockets | undefined {
  const pins = datapath.pins?.folder(LINKS)
  if (!pins) return undefined
  if (cgroup === undefined || lacksFeature(ask('set_retval'), log)) {
    detachSockets(pins)
    return undefined
  }
  const object = fs.readFileSync(fileURLToPath(new URL('../../build/sock.o', import.meta.url)))
  const sockets = loadSocketPrograms(datapath, { object, nodeNamespace: namespaceCookie(node) })
  try {
    attachSockets(sockets, cgroup, pins)
    return staleSocketWatch(datapath, sockets, node, log)
  } catch (error) {
    sockets[Symbol.dispose]()
    throw error
  }
}

function lacksFeature({ answer, title, since }: ProbeResult, log: Log): boolean {
  if (answer !== 'missing') return false
  log.error(
    { kernel: release(), needs: since },
    `this kernel has no ${title} (Linux ${since}), so --service-cgroup has no effect: services are translated by the packet ` +
      "for pods, and not at all for the node's own processes",
  )
  return true
}

function staleSocketWatch(datapath: Datapath, sockets: SocketPrograms, node: Namespace, log: Log): AgentSockets {
  const netlink = NetlinkSocket.open({ namespace: node, protocol: NETLINK_SOCK_DIAG })
  const given = sockets.maps.datagram_frontends
  let timer: NodeJS.Timeout | undefined
  let isSupported = true

  function look(): void {
    timer = undefined
    try {
      const ended = destroyStaleSockets({ netlink, given, backends: datapath.maps.backends })
      if (ended === 'unsupported') {
        isSupported = false
        log.info({}, 'this kernel cannot end the connections of UDP sockets; those to backends that are gone stay')
      } else if (ended > 0) log.info({ sockets: ended }, 'ended connections of UDP sockets to backends that are gone')
    } catch (error) {
      log.error({ error: String(error) }, 'could not end the connections of UDP sockets to backends that are gone')
    }
  }
  function backendsGone(): void {
    if (isSupported) timer ??= setTimeout(look, GATHER_MS).unref()
  }

  // Some may have gone while no agent was here to see.
  backendsGone()
  const { programs, maps } = sockets
  return {
    loaded: {
      programs: Object.values(programs),
      maps: Object.values(maps),
      attached: () => 1,
    },
    backendsGone,
    [Symbol.dispose]() {
      clearTimeout(timer)
      netlink.close()
      sockets[Symbol.dispose]()
    },
  }
}
