// axoneme's services: from Services and EndpointSlices to frontends and backends. Pure:
// no input or output, no clock.

export { type Claim, claimProblem, compareClaims } from './claims.ts'
export { type FlowTuple, flowHash, slotOfHash } from './flow-hash.ts'
export {
  endpointText,
  type FrontendDifference,
  frontendDifferences,
  type LiveBackend,
  type LiveFrontend,
  takesSourceRanges,
} from './frontend-content.ts'
export { type HostPortPod, resolveHostPorts } from './host-ports.ts'
export { DEFAULT_MAGLEV_TABLE_SIZE, MAGLEV_TABLE_SIZES } from './maglev.ts'
export { resolveService, type ServiceContext } from './resolve.ts'
export * from './resolved.ts'
export { slotsOf } from './slots.ts'
export * from './translation.ts'
export * from './why/index.ts'
