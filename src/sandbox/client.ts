// Asks the daemon of a sandbox. A sandbox that is not up is an error that says how to start one.

import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiErrorBody } from '../api/schema.ts'
import { validName } from './configuration.ts'
import type { OutsideEntry, PodEntry, ProbeAnswer, ProbeRequest, SandboxStatus } from './control.ts'
import { SandboxError, type SandboxErrorCode } from './errors.ts'
import { DEFAULT_SANDBOX, sandboxPaths } from './paths.ts'
import type { PodStatus } from './pods/pod.ts'

const STATUS_TIMEOUT_MS = 5_000
const POLL_MS = 50

export class SandboxClient {
  readonly name: string
  readonly #socketPath: string

  /** @throws SandboxError `invalid` */
  constructor(name = DEFAULT_SANDBOX) {
    this.name = validName(name)
    this.#socketPath = sandboxPaths(name).daemonSocket
  }

  async status(): Promise<SandboxStatus> {
    return await this.#ask('GET', '/v1/status', undefined, AbortSignal.timeout(STATUS_TIMEOUT_MS))
  }

  /** @throws SandboxError `not-found`, `not-running` */
  async pod(namespace: string, name: string): Promise<PodEntry> {
    const path = `/v1/pods/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`
    return await this.#ask('GET', path, undefined, AbortSignal.timeout(STATUS_TIMEOUT_MS))
  }

  /** A machine outside of the cluster, made when it is first asked for. */
  async outside(): Promise<OutsideEntry> {
    return await this.#ask('POST', '/v1/outside', undefined, AbortSignal.timeout(STATUS_TIMEOUT_MS))
  }

  /** Takes as long as the slowest cell: its tries times its time-out. @throws SandboxError `invalid`, `not-measured` */
  async probe(request: ProbeRequest, signal?: AbortSignal): Promise<ProbeAnswer> {
    return await this.#ask('POST', '/v1/probe', request, signal)
  }

  /**
   * Waits until the pods are as asked.
   * @returns their status then
   * @throws SandboxError `failed` after the time-out, with what was still missing
   */
  async waitForPods(
    isDone: (pods: readonly PodStatus[]) => boolean,
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<readonly PodStatus[]> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const { pods } = await this.status()
      if (isDone(pods)) return pods
      if (performance.now() > deadline) {
        const states = pods.map(
          pod => `${pod.namespace}/${pod.name} ${pod.phase} ${pod.reason ?? ''} ${pod.message ?? ''}`,
        )
        throw new SandboxError(
          'failed',
          `the pods did not come to be as asked in ${timeoutMs} ms:\n${states.join('\n')}`,
        )
      }
      await sleep(POLL_MS, undefined, { signal })
    }
  }

  async #ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>()
    const options = { socketPath: this.#socketPath, method, path, ...(signal && { signal }) }
    const request = http.request(options, resolve).on('error', reject)
    request.end(body === undefined ? undefined : JSON.stringify(body))
    let text = ''
    let status: number | undefined
    try {
      const response = await promise
      status = response.statusCode
      for await (const chunk of response.setEncoding('utf8')) text += chunk as string
    } catch (error) {
      throw this.#unreachable(error as NodeJS.ErrnoException, signal)
    }
    if (status === 200) return JSON.parse(text) as T
    const { error } = JSON.parse(text) as ApiErrorBody
    throw new SandboxError(error.code as SandboxErrorCode, error.message)
  }

  #unreachable(error: NodeJS.ErrnoException, signal: AbortSignal | undefined): SandboxError {
    if (signal?.aborted) {
      const timedOut = (signal.reason as Error | undefined)?.name === 'TimeoutError'
      const message = timedOut ? `the daemon of sandbox ${this.name} does not answer` : 'interrupted'
      return new SandboxError(timedOut ? 'failed' : 'interrupted', message, { cause: error })
    }
    if (error.code === 'EACCES')
      return new SandboxError('unsupported', `only root can use sandbox ${this.name}: run this with sudo`, {
        cause: error,
      })
    const option = this.name === DEFAULT_SANDBOX ? '' : ` --name ${this.name}`
    const message = `sandbox ${this.name} is not up: start it with \`axoneme sandbox up${option}\``
    return new SandboxError('not-up', message, { cause: error })
  }
}
