// Services: what users and the cluster's endpoint controller declare (written by
// controllers/intent.ts), and what the kernel is to have of it on this node (written by
// controllers/services.ts, made real by reconcilers/service-maps.ts).

import type { EndpointSliceManifest, ServiceManifest } from '../manifests/index.ts'
import type { ServiceBackend, ServicePortEntry } from '../services/index.ts'
import { defineTable } from '../state/index.ts'
import { type Origin, objectKey } from './intent.ts'

export type Service = ServiceManifest & { readonly origin: Origin }
export type EndpointSlice = EndpointSliceManifest & { readonly origin: Origin }

/** With the numbers that stand for it in maps and events. */
export type NumberedPort = Omit<ServicePortEntry, 'backends'> & {
  /** Unique while anything in the kernel may carry it. */
  readonly number: number
  readonly backends: readonly NumberedBackend[]
}
export type NumberedBackend = ServiceBackend & {
  /** Of this address, port and protocol, whichever services have it. */
  readonly id: number
}

/** One service, as a whole: all of it is put in force, or nothing changes. */
export type ServiceEntry = {
  readonly namespace: string
  readonly name: string
  readonly ports: readonly NumberedPort[]
}

/** Of externalTrafficPolicy Local: where load balancers ask whether this node has backends. */
export type ServiceHealth = {
  readonly namespace: string
  readonly name: string
  readonly port: number
  readonly localBackends: number
}

export const serviceTable = defineTable({
  name: 'services',
  key: (service: Service) => objectKey(service),
  indexes: { namespace: service => [service.namespace] },
  columns: {
    NAMESPACE: service => service.namespace,
    NAME: service => service.name,
    TYPE: service => service.type,
    'CLUSTER IP': service => service.clusterIps.join(' ') || (service.headless ? 'None' : ''),
    PORTS: service => service.ports.map(({ port, protocol }) => `${port}/${protocol}`).join(' '),
    ORIGIN: ({ origin }) => `${origin.file}:${origin.line}`,
  },
})

export const endpointSliceTable = defineTable({
  name: 'endpoint-slices',
  key: (slice: EndpointSlice) => objectKey(slice),
  indexes: {
    service: slice => (slice.service ? [objectKey({ namespace: slice.namespace, name: slice.service })] : []),
  },
  columns: {
    NAMESPACE: slice => slice.namespace,
    NAME: slice => slice.name,
    SERVICE: slice => slice.service ?? '',
    ADDRESSES: slice => slice.endpoints.flatMap(({ addresses }) => addresses).join(' '),
    ORIGIN: ({ origin }) => `${origin.file}:${origin.line}`,
  },
})

export const serviceEntryTable = defineTable({
  name: 'service-entries',
  key: (entry: ServiceEntry) => objectKey(entry),
  indexes: { number: entry => entry.ports.map(({ number }) => String(number)) },
  columns: {
    NAMESPACE: entry => entry.namespace,
    NAME: entry => entry.name,
    FRONTENDS: entry => String(entry.ports.reduce((total, { frontends }) => total + frontends.length, 0)),
    BACKENDS: entry => String(entry.ports.reduce((total, { backends }) => total + backends.length, 0)),
  },
})

export const serviceHealthTable = defineTable({
  name: 'service-health',
  key: (health: ServiceHealth) => objectKey(health),
  indexes: { port: health => [String(health.port)] },
  columns: {
    NAMESPACE: health => health.namespace,
    NAME: health => health.name,
    PORT: health => String(health.port),
    'LOCAL BACKENDS': health => String(health.localBackends),
  },
})
