// The flows of a test's node as they happen: how a test knows that a packet was dropped,
// and why, without waiting for an answer that never comes.

import { once } from 'node:events'
import http from 'node:http'
import readline from 'node:readline'
import type { TestContext } from 'node:test'
import type { Flow } from '../../src/observe/index.ts'
import { nodePaths } from '../../src/sandbox/index.ts'
import { type TestCluster, until } from './support.ts'

/** Times of flows are those of the kernel's clock, translated with this precision. */
const CLOCK_ERROR_MS = 1

export class FlowLog {
  readonly flows: Flow[] = []

  private constructor() {}

  /** Follows the agent until the test ends. Every packet sent after this resolves is in the log, or on its way there. */
  static async follow(t: TestContext, { paths }: TestCluster): Promise<FlowLog> {
    const log = new FlowLog()
    const socketPath = nodePaths(paths, 'node1').agentSocket
    const request = http.get({ socketPath, path: '/v1/flows?follow=1', agent: false })
    t.after(() => request.destroy())
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    readline
      .createInterface({ input: response })
      .on('line', line => log.flows.push(JSON.parse(line) as Flow))
      .on('error', () => undefined) // the end of the test, or of the agent
    return log
  }

  /** The first such flow of a packet that was sent at or after `sinceMs` (of `Date.now()`); waits for it. */
  async next(what: string, isIt: (flow: Flow) => boolean, sinceMs = Date.now()): Promise<Flow> {
    let found: Flow | undefined
    await until(what, () => {
      found = this.flows.find(flow => Date.parse(flow.time) >= sinceMs - CLOCK_ERROR_MS && isIt(flow))
      return found !== undefined
    })
    return found as Flow
  }
}

export const isDropped = (flow: Flow): boolean => flow.verdict === 'DROPPED'
