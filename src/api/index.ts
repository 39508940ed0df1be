// The APIs of the agent and of the proxy: their schemas, the server that answers and
// the clients that ask.

export * from './client.ts'
export { datapathName, NameHandover } from './name-handover.ts'
export * from './proxy-client.ts'
export * from './proxy-schema.ts'
export * from './schema.ts'
export * from './server.ts'
