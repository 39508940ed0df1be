// Why a service could not be put into the maps, in words that name the service, the map
// that is full and what to do.

import { MapFullError } from '../bpf/index.ts'
import { asError } from '../state/index.ts'
import { SlotsExhaustedError } from './slot-allocator.ts'

/** A service needs more room than a map has. What was in force of it before stays so. */
export class ServiceRoomError extends Error {
  override readonly name = 'ServiceRoomError'
  readonly code = 'SERVICE_MAP_FULL'

  constructor(service: string, map: string, cause: Error) {
    super(
      `service ${service}: map ${map} has no room for its change, so nothing of it is in force and what was before ` +
        `stays (${cause.message}); ${REMEDIES[map] ?? 'remove services that are not needed'}`,
      { cause },
    )
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  frontends: 'remove services, node ports or external addresses that are not needed',
  backends: 'remove endpoints that are not needed',
  affinity_backends: 'let fewer services have session affinity, or fewer endpoints behind them',
  source_ranges: 'name fewer loadBalancerSourceRanges',
  slot_pages: 'let fewer services choose by Maglev, or give --maglev-table-size a smaller size',
}

/** @param service `NAMESPACE/NAME` */
export function explained(service: string, thrown: unknown): Error {
  if (thrown instanceof MapFullError) return new ServiceRoomError(service, thrown.map, thrown)
  if (thrown instanceof SlotsExhaustedError) return new ServiceRoomError(service, 'slot_pages', thrown)
  return asError(thrown)
}
