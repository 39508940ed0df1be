// Asks for pages and opens connections in the network of a node, as a kubelet does for probes and hooks. One process of
// each node that needs it, inside the node's namespace. Takes a request a line and answers with a line, both JSON (see
// pods/health.ts); ends with its input.

import http from 'node:http'
import net from 'node:net'
import readline from 'node:readline'
import type { HealthAnswer, HealthRequest } from './pods/health.ts'

for await (const line of readline.createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as HealthRequest
  const answer = (error?: string): void => {
    const { id } = request
    const told: HealthAnswer = { id, ...(error !== undefined && { error }) }
    process.stdout.write(`${JSON.stringify(told)}\n`)
  }
  if (request.kind === 'http') askForPage(request, answer)
  else openConnection(request, answer)
}

type Answer = (error?: string) => void

function askForPage({ host, port, path, headers, timeoutMs }: HealthRequest & { kind: 'http' }, answer: Answer): void {
  const signal = AbortSignal.timeout(timeoutMs)
  const request = http.get({ host, port, path, agent: false, signal, headers: { ...headers, connection: 'close' } })
  request.on('response', response => {
    response.resume()
    const { statusCode = 0 } = response
    answer(statusCode >= 200 && statusCode < 400 ? undefined : `HTTP ${statusCode}`)
    request.destroy()
  })
  // Only the first answer counts: whoever asked has forgotten the request by the second.
  request.on('error', error => answer(signal.aborted ? 'timed out' : error.message))
}

function openConnection({ host, port, timeoutMs }: HealthRequest, answer: Answer): void {
  const socket = net.connect({ host, port, timeout: timeoutMs })
  const finish = (error?: string): void => {
    answer(error)
    socket.destroy()
  }
  socket
    .on('connect', () => finish())
    .on('timeout', () => finish('timed out'))
    .on('error', error => finish(error.message))
}
