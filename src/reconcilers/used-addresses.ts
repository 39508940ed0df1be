// Which of some addresses connections use now: the two ends of the flows that the
// datapath tracks and that have not expired. Read piece by piece, so that a full map does
// not hold up everything else.

import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import type { BpfMap } from '../bpf/index.ts'
import { formatIp, ip } from '../ip/index.ts'
import type { Flow, FlowKey } from '../maps/index.ts'

const PIECE = 512

/** @param nowNs on CLOCK_MONOTONIC, as the datapath counts */
export function usedAddresses(
  flows: Pick<BpfMap<FlowKey, Flow>, 'entries'>,
  nowNs: () => bigint = () => process.hrtime.bigint(),
): (addresses: ReadonlySet<string>, signal: AbortSignal) => Promise<ReadonlySet<string>> {
  return async (addresses, signal) => {
    const wanted = new Map([...addresses].map(address => [keyOf(ip(address).bytes), address]))
    const used = new Set<string>()
    const look = (bytes: Uint8Array): void => {
      const address = wanted.get(keyOf(bytes))
      if (address !== undefined) used.add(address)
    }
    let count = 0
    for (const [key, flow] of flows.entries()) {
      if (flow.expires_ns > nowNs()) {
        look(key.low.bytes)
        look(key.high.bytes)
      }
      if (used.size === wanted.size) break
      if (++count % PIECE !== 0) continue
      await eventLoopTurn()
      signal.throwIfAborted()
    }
    return used
  }
}

const keyOf = (bytes: Uint8Array): string => formatIp(bytes)
