// The Kafka server of `axoneme proxy`: takes the connections that the datapath leads to
// its listening sockets, speaks to their brokers with the clients' own addresses, and
// lets pass what the rules allow. A connection whose broker cannot be reached is reset.

import net from 'node:net'
import { ip } from '../../ip/index.ts'
import { connectForeign } from '../../net/index.ts'
import { Admission } from '../admission.ts'
import type { ChildServer, ChildStart, EmitEvent } from '../child.ts'
import { type Connection, type KnownFlow, KnownFlows } from '../known-flows.ts'
import { admit } from './admit.ts'
import { carryConnection } from './connection.ts'
import { eventsOf } from './events.ts'
import { HeldBytes } from './held-bytes.ts'
import { KafkaRuleSets } from './judge.ts'

/** Of all clients, and of one address. */
const OPEN_CONNECTIONS = { all: 10_000, each: 2_500 } as const
const CONNECT_TIMEOUT_MS = 30_000
/** After so long in silence the other side is asked whether it is still there. */
const KEEP_ALIVE_MS = 60_000

/** @param descriptors listening sockets, of IPv4 and of IPv6 */
export async function serveKafka(
  start: ChildStart,
  emit: EmitEvent,
  descriptors: readonly number[],
): Promise<ChildServer> {
  const flows = KnownFlows.open(start.bpf, 'KAFKA')
  const sets = new KafkaRuleSets()
  const held = new HeldBytes()
  const open = new Admission(OPEN_CONNECTIONS.all, OPEN_CONNECTIONS.each)
  let connections = 0
  let refused = 0
  let events = 0
  const tell: EmitEvent = event => {
    events++
    emit(event)
  }
  for (const fd of descriptors)
    await listen(fd, client => {
      if (!admit(client, open)) return void refused++
      connections++
      void accept(client, { findFlow: ends => flows.find(ends), sets, held, emit: tell })
    })
  return {
    apply: change => sets.apply(change),
    use: () => ({ open: open.open, ever: connections }),
    counts: () => ({ connections, refused, full: held.full, late: held.late, events, ruleSets: sets.size }),
  }
}

async function listen(fd: number, onConnection: (client: net.Socket) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, onConnection)
  server.once('error', reject)
  server.listen({ fd }, resolve)
  await promise
}

type Serving = {
  readonly findFlow: (ends: Connection) => KnownFlow | undefined
  readonly sets: KafkaRuleSets
  readonly held: HeldBytes
  readonly emit: EmitEvent
}

async function accept(client: net.Socket, serving: Serving): Promise<void> {
  const ends = endsOf(client)
  // It was closed before it was looked at.
  if (!ends) return void client.destroy()
  const gone = new AbortController()
  const abort = (): void => gone.abort()
  client.once('error', abort).once('close', abort)
  try {
    const signal = AbortSignal.any([gone.signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)])
    const fd = await connectForeign(ends.client.address, ends.server, signal)
    const broker = new net.Socket({ fd, readable: true, writable: true, allowHalfOpen: true })
    // It was closed in the same moment.
    if (gone.signal.aborted) return void broker.destroy()
    broker.setNoDelay(true)
    for (const leg of [client, broker]) leg.setKeepAlive(true, KEEP_ALIVE_MS)
    carryConnection({ ...serving, ends, client, broker, findFlow: () => serving.findFlow(ends) })
    client.resume()
  } catch (error) {
    if (gone.signal.aborted) return
    const reason = `the broker cannot be reached: ${error instanceof Error ? error.message : String(error)}`
    const report = { verdict: 'ERROR', flow: serving.findFlow(ends), reason } as const
    for (const event of eventsOf(ends, report, Date.now() * 1000)) serving.emit(event)
    client.resetAndDestroy()
  } finally {
    client.off('error', abort).off('close', abort)
  }
}

/** The listening sockets are transparent: the local address is the one that the client asked for. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: net.Socket): Connection | undefined {
  if (!remoteAddress || !remotePort || !localAddress || !localPort) return undefined
  return {
    transport: 'TCP',
    client: { address: ip(remoteAddress).bytes, port: remotePort },
    server: { address: ip(localAddress).bytes, port: localPort },
  }
}
