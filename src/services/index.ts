// axoneme's services: from Services and EndpointSlices to frontends and backends. Pure:
// no input or output, no clock.

export * from './resolved.ts'
