// The proxy's place in the datapath: its programs on its control group, its listening
// sockets where the programs of pods look for them. There may be no datapath yet, or
// another one after an upgrade of the agent: both are waited for and told.

import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { ProxySocketState } from '../api/index.ts'
import { attachCgroup, attachNetns, BpfError, PinDirectory } from '../bpf/index.ts'
import { loadProxyPrograms, type ProxyKind, type ProxyPrograms, proxySocketIndex } from '../maps/index.ts'
import { openTransparentSocket, type TransparentSocket } from '../net/index.ts'

const LOOK_INTERVAL_MS = 250
/** Looking for a datapath that has taken the place of ours. */
const CHECK_INTERVAL_MS = 1_000

const KINDS = ['HTTP', 'TLS', 'DNS', 'KAFKA'] as const satisfies readonly Exclude<ProxyKind, 'NONE'>[]
export type ServedKind = (typeof KINDS)[number]

const BY_DATAGRAM: readonly ServedKind[] = ['DNS']

export type ProxySocket = TransparentSocket & { readonly kind: ServedKind | 'HTTPS' }

/** Attached and listening until it is disposed of. */
export type Attached = Disposable & {
  readonly sockets: readonly ProxySocket[]
  descriptor(kind: ServedKind, family: 4 | 6, protocol?: 'TCP' | 'UDP'): number
  /** For the TLS context of a slot: IPv4 and IPv6. Found until they are disposed of. */
  openContext(slot: number): ContextSockets
}

export type ContextSockets = Disposable & { readonly sockets: readonly [ProxySocket, ProxySocket] }

/**
 * Resolves when there is a datapath of this version of ours.
 * @param onWaiting told what is waited for, whenever that is something else
 * @throws what `loadProxyPrograms` throws where waiting does not help; the reason of the signal
 */
export async function datapathOf(
  bpf: string,
  onWaiting: (what: string) => void,
  signal: AbortSignal,
): Promise<ProxyPrograms> {
  const object = fs.readFileSync(fileURLToPath(new URL('../../build/proxy.o', import.meta.url)))
  let told = ''
  for (;;) {
    signal.throwIfAborted()
    try {
      return loadProxyPrograms({ object, pins: bpf })
    } catch (error) {
      if (!(error instanceof BpfError) || error.code !== 'ENOENT') throw error
      const others = PinDirectory.versions(bpf)
      const what =
        others.length > 0
          ? `the datapath in ${bpf} has maps of schema ${others.join(', ')}, which is not that of this proxy: start both from one release`
          : `there is no datapath in ${bpf} yet: the agent makes it`
      if (what !== told) onWaiting(what)
      told = what
    }
    await sleep(LOOK_INTERVAL_MS, undefined, { signal })
  }
}

/**
 * Makes the sockets and lets the datapath find them. The programs are on the group first, so that they are marked. TLS
 * contexts that were there are forgotten: nobody has their keys yet.
 */
export function attach(datapath: ProxyPrograms, cgroup: string): Attached {
  using stack = new DisposableStack()
  stack.use(attachCgroup(datapath.programs.mark_proxy, cgroup, 'cgroup_inet_sock_create'))
  stack.use(attachCgroup(datapath.programs.keep_hops, cgroup, 'cgroup_setsockopt'))
  stack.use(attachCgroup(datapath.programs.tell_proxy, cgroup, 'cgroup_getsockopt'))
  stack.use(attachNetns(datapath.programs.find_listener, '/proc/self/ns/net'))
  const { ACCEPTED } = datapath.proxyMark.number
  const sockets = KINDS.flatMap(kind =>
    ([4, 6] as const).flatMap(family => [
      { kind, ...stack.use(openTransparentSocket(family, 'TCP', ACCEPTED)) },
      ...(BY_DATAGRAM.includes(kind) ? [{ kind, ...stack.use(openTransparentSocket(family, 'UDP')) }] : []),
    ]),
  )
  for (const { kind, family, protocol, fd } of sockets) {
    const index = proxySocketIndex(datapath, kind, protocol === 'TCP' ? 'tcp' : 'udp', family)
    datapath.maps.proxy_sockets.set(index, BigInt(fd))
  }
  datapath.maps.tls_contexts.clear()
  const owned = stack.move()
  return {
    sockets,
    openContext: slot => openContextSockets(datapath, slot),
    descriptor(kind, family, protocol = 'TCP') {
      const found = sockets.find(one => one.kind === kind && one.family === family && one.protocol === protocol)
      if (!found) throw new Error(`there is no socket for ${kind} over IPv${family} and ${protocol}`)
      return found.fd
    },
    [Symbol.dispose]: () => owned.dispose(),
  }
}

function openContextSockets(datapath: ProxyPrograms, slot: number): ContextSockets {
  const { proxy_sockets: map } = datapath.maps
  const { ACCEPTED } = datapath.proxyMark.number
  using stack = new DisposableStack()
  const made = ([4, 6] as const).map(family => {
    const socket = { kind: 'HTTPS' as const, ...stack.use(openTransparentSocket(family, 'TCP', ACCEPTED)) }
    const index = proxySocketIndex(datapath, { slot }, 'tcp', family)
    map.set(index, BigInt(socket.fd))
    stack.defer(() => void map.delete(index))
    return socket
  })
  const owned = stack.move()
  return { sockets: made as [ProxySocket, ProxySocket], [Symbol.dispose]: () => owned.dispose() }
}

/** Resolves when another datapath has taken the place of this one, or the signal is aborted. */
export async function whenExchanged(datapath: ProxyPrograms, bpf: string, signal: AbortSignal): Promise<void> {
  const { proxy_sockets: own } = datapath.maps
  while (!signal.aborted) {
    await sleep(CHECK_INTERVAL_MS, undefined, { signal }).catch(() => undefined)
    const there = PinDirectory.versions(bpf).some(version => {
      using map = PinDirectory.open(bpf, version, { otherVersions: 'keep' }).openMap('proxy_sockets')
      return map?.id === own.id
    })
    if (!there) return
  }
}

export const socketState = ({ kind, family, protocol, port }: ProxySocket): ProxySocketState => ({
  kind,
  family,
  protocol,
  port,
})
