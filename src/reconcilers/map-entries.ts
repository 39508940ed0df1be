// Rows that are one element of one BPF map each: the ipcache and the endpoint map.
// Written after the policy maps that they point into, so that no packet carries an
// identity which today's policy does not know. A row that the kernel refuses, be it that
// the map is full, keeps no other one out.

import type { BpfMap } from '../bpf/index.ts'
import { cidr, formatIp, ip, mac } from '../ip/index.ts'
import { type EndpointKey, type Endpoint as EndpointValue } from '../maps/endpoint.ts'
import { type IpcacheEntry, type IpcacheKey, ipcacheKey } from '../maps/ipcache.ts'
import { eachRow, type Operations } from '../state/index.ts'
import type { Address, EndpointEntry } from '../tables/index.ts'

export type ElementTarget<Row extends object, Key, Value> = {
  readonly map: BpfMap<Key, Value>
  readonly keyOf: (row: Row) => Key
  readonly valueOf: (row: Row) => Value
  /** Same text for the same key. */
  readonly textOf: (key: Key) => string
  /** Resolves when what these rows refer to is in the kernel. */
  readonly after: (signal: AbortSignal) => Promise<void>
  readonly onChanged: () => void
}

export function elementOperations<Row extends object, Key, Value>({
  map,
  keyOf,
  valueOf,
  textOf,
  after,
  onChanged,
}: ElementTarget<Row, Key, Value>): Operations<Row> {
  return {
    async update(rows, signal) {
      await after(signal)
      try {
        map.updateBatch(rows.map(row => [keyOf(row), valueOf(row)]))
        return undefined
      } catch {
        // A batch ends at the first element that is refused: each by itself says which, and why.
        return await eachRow<Row>(row => map.set(keyOf(row), valueOf(row)))(rows, signal)
      } finally {
        onChanged()
      }
    },
    async delete(rows) {
      map.deleteBatch(rows.map(keyOf))
      onChanged()
    },
    async prune(desired) {
      const wanted = new Set(desired.map(row => textOf(keyOf(row))))
      const surplus = [...map.keys()].filter(key => !wanted.has(textOf(key)))
      if (surplus.length === 0) return
      map.deleteBatch(surplus)
      onChanged()
    },
  }
}

type Waiting = Pick<ElementTarget<object, unknown, unknown>, 'after' | 'onChanged'>

/** @param hostFlag the flag of this node's addresses */
export function ipcacheOperations(
  map: BpfMap<IpcacheKey, IpcacheEntry>,
  hostFlag: number,
  waiting: Waiting,
): Operations<Address> {
  return elementOperations<Address, IpcacheKey, IpcacheEntry>({
    map,
    keyOf: row => ipcacheKey(cidr(row.prefix)),
    valueOf: row => ({ identity: row.identity, flags: row.isHost ? hostFlag : 0 }),
    textOf: key => `${key.prefix_length} ${Buffer.from(key.address).toString('hex')}`,
    ...waiting,
  })
}

export function endpointEntryOperations(
  map: BpfMap<EndpointKey, EndpointValue>,
  waiting: Waiting,
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
    ...waiting,
  })
}
