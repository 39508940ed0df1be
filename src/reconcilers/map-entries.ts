// Rows that are one element of one BPF map each: the ipcache and the endpoint map.
// Batches go off the event loop, since they may be large. What the map has already, as
// after a restart, is not written again; an element that cannot be written does not hold
// up the others.

import type { BpfMap } from '../bpf/index.ts'
import { cidr, formatIp, ip, mac } from '../ip/index.ts'
import type { EndpointKey, Endpoint as EndpointValue } from '../maps/endpoint.ts'
import type { PodNamespace as PodNamespaceValue } from '../maps/index.ts'
import { type IpcacheEntry, type IpcacheKey, ipcacheKey } from '../maps/ipcache.ts'
import { asError, type Operations, rowsEqual } from '../state/index.ts'
import type { Address, EndpointEntry, PodNamespace } from '../tables/index.ts'

export type ElementTarget<Row extends object, Key, Value extends object> = {
  readonly map: BpfMap<Key, Value>
  readonly keyOf: (row: Row) => Key
  readonly valueOf: (row: Row) => Value
  /** Same text for the same key. */
  readonly textOf: (key: Key) => string
  /** Called when what packets are judged by has changed. */
  readonly onChanged: () => void
}

export function elementOperations<Row extends object, Key, Value extends object>(
  target: ElementTarget<Row, Key, Value>,
): Operations<Row> {
  const { map, keyOf, valueOf, textOf, onChanged } = target
  let isFirst = true

  /** Elements that are there since before this process; asked for once. */
  function inherited(): ReadonlyMap<string, Value> {
    if (!isFirst) return new Map()
    const found = new Map(map.lookupBatch().map(([key, value]) => [textOf(key), value]))
    isFirst = false
    return found
  }

  return {
    async update(rows) {
      const known = inherited()
      const failures = new Map<Row, Error>()
      const elements: [Row, readonly [Key, Value]][] = []
      for (const row of rows) {
        try {
          const element = [keyOf(row), valueOf(row)] as const
          const old = known.get(textOf(element[0]))
          if (old === undefined || !rowsEqual(old, element[1])) elements.push([row, element])
        } catch (error) {
          failures.set(row, asError(error))
        }
      }
      if (elements.length === 0) return failures
      for (const [row, error] of await writeAll(map, elements)) failures.set(row, error)
      onChanged()
      return failures
    },
    async delete(rows) {
      await map.deleteBatchAsync(rows.map(keyOf))
      onChanged()
    },
    async prune(desired) {
      const wanted = new Set(desired.map(row => textOf(keyOf(row))))
      const surplus = [...map.keys()].filter(key => !wanted.has(textOf(key)))
      if (surplus.length === 0) return
      await map.deleteBatchAsync(surplus)
      onChanged()
    },
  }
}

/** In one batch; where that fails, as in a map that is full, one by one, so that what can be written is. */
async function writeAll<Row, Key, Value>(
  map: BpfMap<Key, Value>,
  elements: readonly (readonly [Row, readonly [Key, Value]])[],
): Promise<Map<Row, Error>> {
  const failures = new Map<Row, Error>()
  try {
    await map.updateBatchAsync(elements.map(([, element]) => element))
    return failures
  } catch {
    // Each element tells for itself below.
  }
  for (const [row, [key, value]] of elements) {
    try {
      map.set(key, value)
    } catch (error) {
      failures.set(row, asError(error))
    }
  }
  return failures
}

/** @param hostFlag the flag of this node's addresses */
export function ipcacheOperations(
  map: BpfMap<IpcacheKey, IpcacheEntry>,
  hostFlag: number,
  onChanged: () => void,
): Operations<Address> {
  return elementOperations<Address, IpcacheKey, IpcacheEntry>({
    map,
    keyOf: row => ipcacheKey(cidr(row.prefix)),
    valueOf: row => ({ identity: row.identity, flags: row.isHost ? hostFlag : 0 }),
    textOf: key => `${key.prefix_length} ${Buffer.from(key.address).toString('hex')}`,
    onChanged,
  })
}

export function endpointEntryOperations(
  map: BpfMap<EndpointKey, EndpointValue>,
  onChanged: () => void,
): Operations<EndpointEntry> {
  return elementOperations<EndpointEntry, EndpointKey, EndpointValue>({
    map,
    keyOf: row => ({ bytes: ip(row.address).bytes }),
    valueOf: row => ({
      ifindex: row.ifindex,
      id: row.endpoint,
      identity: row.identity,
      policy: row.policy,
      mac: mac(row.mac),
      flags: 0,
    }),
    textOf: key => formatIp(key.bytes),
    onChanged,
  })
}

/** @param byPacket the flag of namespaces in which nothing is translated in sockets */
export function podNamespaceOperations(
  map: BpfMap<bigint, PodNamespaceValue>,
  byPacket: number,
): Operations<PodNamespace> {
  return elementOperations<PodNamespace, bigint, PodNamespaceValue>({
    map,
    keyOf: row => BigInt(row.cookie),
    valueOf: row => ({
      address: [addressOf(row, 4), addressOf(row, 6)],
      flags: row.translation === 'packet' ? byPacket : 0,
      endpoint: row.endpoint,
    }),
    textOf: String,
    // Says nothing of who may speak to whom.
    onChanged: () => undefined,
  })
}

/** All zero where the pod has none of that family. */
function addressOf(row: PodNamespace, family: 4 | 6): EndpointKey {
  const address = row.addresses.map(ip).find(found => found.family === family)
  return { bytes: address?.bytes ?? new Uint8Array(16) }
}
