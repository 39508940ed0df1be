// The agent's API: its schema, the server that answers it and the client that asks.

export * from './client.ts'
export * from './schema.ts'
export * from './server.ts'
