// The part of an agent that puts services in force: from what is declared to numbered
// rows, and from those into the maps. What the maps hold is read once at the start, so
// that services and backends keep their numbers.

import {
  type InheritedServices,
  type Memory,
  ServiceController,
  ServiceSince,
  type ServicesInKernel,
} from '../controllers/index.ts'
import { formatIp } from '../ip/index.ts'
import type { Schema } from '../maps/index.ts'
import { type NewSlotPage, type OpenSlotPage, type ServiceMaps, serviceMapOperations } from '../reconcilers/index.ts'
import { type ServiceContext, slotsOf } from '../services/index.ts'
import { type Clock, Reconciler, type ReconcilerOptions } from '../state/index.ts'
import type { ServiceEntry, Tables } from '../tables/index.ts'

/** How services are served where they say nothing of it themselves. */
export type ServiceSettings = Pick<ServiceContext, 'algorithm' | 'forwarding'> & {
  /** One of MAGLEV_TABLE_SIZES. */
  readonly maglevTableSize: number
  /** Addresses of the node that answer for node ports. */
  readonly nodePortAddresses: readonly string[]
  /** Canonical; none: all external addresses are taken. */
  readonly externalIpRanges: readonly string[]
  readonly clusterIpsFromOutside: boolean
}

export type ServiceDatapath = {
  readonly schema: Schema
  readonly maps: ServiceMaps
  /** A page of slots that is not in force yet. */
  createSlotPage(): NewSlotPage
  /** The page under a key of `slot_pages`; undefined when there is none. */
  openSlotPage(key: number): OpenSlotPage | undefined
}

export type ServicesOptions = {
  readonly tables: Tables
  readonly node: { readonly name: string; readonly addresses: readonly string[] }
  readonly settings: ServiceSettings
  readonly datapath: ServiceDatapath
  readonly memory: Memory
  readonly clock: Clock
  /** Called when addresses begin or cease to stand for a service. */
  readonly onChanged: () => void
  /** Called when backends are gone from the map. */
  readonly onBackendsGone?: (() => void) | undefined
  readonly common: Pick<ReconcilerOptions<ServiceEntry, string>, 'database' | 'clock' | 'onFailure'>
}

export function createServices(options: ServicesOptions) {
  const { tables, node, settings, datapath, memory, clock, onChanged, onBackendsGone } = options
  const { schema, maps } = datapath
  const reconciler = new Reconciler({
    ...options.common,
    name: 'service-entries',
    table: tables.serviceEntries,
    operations: serviceMapOperations({
      schema,
      maps,
      createPage: () => datapath.createSlotPage(),
      openPage: page => datapath.openSlotPage(page),
      slotsOf: (port, kind) =>
        slotsOf(port, kind, settings.maglevTableSize).map(index => port.backends[index]?.id ?? 0),
      onChanged,
      onBackendsGone,
      clock,
    }),
  })
  const controller = new ServiceController({
    tables,
    node: {
      nodeName: node.name,
      nodeAddresses: node.addresses,
      nodePortAddresses: settings.nodePortAddresses,
      externalIpRanges: settings.externalIpRanges,
      algorithm: settings.algorithm,
      forwarding: settings.forwarding,
      clusterIpsFromOutside: settings.clusterIpsFromOutside,
    },
    inherited: () => inheritedServices(datapath),
    memory,
    clock,
  })
  const since = new ServiceSince(reconciler.status, clock)
  const inKernel: ServicesInKernel = { status: reconciler.status, sinceMs: key => since.sinceMs(key) }
  return {
    reconciler,
    inKernel,
    caughtUp: (signal?: AbortSignal) => controller.caughtUp(signal),
    /** The reconciler runs by itself. */
    async run(signal: AbortSignal): Promise<void> {
      await Promise.all([controller.run(signal), since.run(signal)])
    },
  }
}

function inheritedServices({ schema, maps }: ServiceDatapath): InheritedServices {
  const reservation = schema.frontendFlags.number.RESERVATION
  const inherited = <T extends object>(
    { address, port, protocol }: { address: { bytes: Uint8Array }; port: number; protocol: number },
    more: T,
  ) => ({ address: formatIp(address.bytes), port, protocol, ...more })
  return {
    frontends: Array.from(maps.frontends.entries()).flatMap(([key, { service, flags }]) =>
      flags & reservation ? [] : [inherited(key, { service })],
    ),
    backends: Array.from(maps.backends.entries(), ([id, backend]) =>
      inherited(backend, { id, service: backend.service }),
    ),
  }
}
