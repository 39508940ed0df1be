// Servers that tell load balancers whether this node has backends of a service of
// externalTrafficPolicy Local: 200 while it has any, 503 while it has none, as kube-proxy
// answers (kubernetes pkg/proxy/healthcheck/service_health.go). One that cannot listen does
// not hold up the others.

import http from 'node:http'
import { asError, eachRow, type Operations } from '../state/index.ts'
import { objectKey, type ServiceHealth } from '../tables/index.ts'

export type HealthServersTarget = {
  /** Of the node, canonical. */
  readonly addresses: readonly string[]
  /** Told of what is wrong with the servers of a service; undefined: nothing, any more. */
  readonly tell: (health: ServiceHealth, problem: string | undefined) => void
}

type Running = { health: ServiceHealth; readonly servers: readonly http.Server[] }

/** A client that has not asked by then, or does not read the answer, is let go. */
const PATIENCE_MS = 5000
/** Load balancers ask one at a time. */
const MAX_CONNECTIONS = 64

export function healthServerOperations({ addresses, tell }: HealthServersTarget): Operations<ServiceHealth> {
  const running = new Map<string, Running>()

  async function stop(key: string): Promise<void> {
    const { servers = [] } = running.get(key) ?? {}
    running.delete(key)
    await Promise.all(servers.map(close))
  }

  async function start(health: ServiceHealth): Promise<void> {
    const opened: http.Server[] = []
    const state: Running = { health, servers: opened }
    try {
      for (const address of addresses) opened.push(await listen(address, health.port, () => state.health))
    } catch (error) {
      await Promise.all(opened.map(close))
      throw error
    }
    running.set(objectKey(health), state)
  }

  return {
    update: eachRow(async health => {
      const key = objectKey(health)
      const known = running.get(key)
      if (known?.health.port === health.port) {
        known.health = health
        return
      }
      await stop(key)
      try {
        await start(health)
        tell(health, undefined)
      } catch (error) {
        tell(health, problemText(health, asError(error)))
        throw error
      }
    }),
    delete: eachRow(async health => {
      await stop(objectKey(health))
      tell(health, undefined)
    }),
    async prune(desired) {
      const wanted = new Set(desired.map(objectKey))
      for (const key of running.keys()) if (!wanted.has(key)) await stop(key)
    },
  }
}

function problemText({ port }: ServiceHealth, { message }: Error): string {
  return (
    `spec.healthCheckNodePort: nobody can ask port ${port} of this node for the health of the service, so load balancers ` +
    `may leave the node out (${message}); choose another port, or end what uses this one`
  )
}

function listen(address: string, port: number, health: () => ServiceHealth): Promise<http.Server> {
  const server = http.createServer((_request, response) => answer(response, health()))
  server.maxConnections = MAX_CONNECTIONS
  server.headersTimeout = PATIENCE_MS
  server.requestTimeout = PATIENCE_MS
  server.setTimeout(PATIENCE_MS)
  const { promise, resolve, reject } = Promise.withResolvers<http.Server>()
  server.once('error', reject)
  server.listen({ host: address, port, ipv6Only: true }, () => {
    server.off('error', reject)
    // A connection that cannot be taken is the client's to try again.
    server.on('error', () => undefined)
    server.unref()
    resolve(server)
  })
  return promise
}

function answer(response: http.ServerResponse, { namespace, name, localBackends }: ServiceHealth): void {
  response.writeHead(localBackends > 0 ? 200 : 503, {
    'content-type': 'application/json',
    'x-content-type-options': 'nosniff',
    'x-load-balancing-endpoint-weight': String(localBackends),
  })
  response.end(
    `${JSON.stringify({ service: { namespace, name }, localEndpoints: localBackends, serviceProxyHealthy: true })}\n`,
  )
}

function close(server: http.Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  server.close(() => resolve())
  server.closeAllConnections()
  return promise
}
