// Finds the frontend of an address and port among all services.

import type { ServiceFrontend, ServicePortEntry } from '../resolved.ts'
import type { AskedAddress, KnownService, ServiceWorld } from './explanation.ts'

/** A frontend, of which service and port. */
export type FoundFrontend = {
  readonly service: KnownService
  readonly port: ServicePortEntry
  readonly frontend: ServiceFrontend
}

/** The frontend of an address, port and protocol. */
export function findFrontend({ services }: ServiceWorld, asked: AskedAddress): FoundFrontend | undefined {
  for (const service of services)
    for (const port of service.ports) {
      if (port.protocol !== asked.protocol) continue
      const frontend = port.frontends.find(each => each.port === asked.port && each.address === asked.address)
      if (frontend) return { service, port, frontend }
    }
  return undefined
}

/** `namespace/name`. */
export const serviceName = ({ namespace, name }: KnownService): string => `${namespace}/${name}`
