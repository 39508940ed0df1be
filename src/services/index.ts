// axoneme's services: from Services and EndpointSlices to frontends and backends. Pure:
// no input or output, no clock.

export {
  endpointText,
  type FrontendDifference,
  frontendDifferences,
  type LiveBackend,
  type LiveFrontend,
} from './frontend-content.ts'
export * from './resolved.ts'
export * from './translation.ts'
export * from './why/index.ts'
