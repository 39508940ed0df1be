// What the end-to-end tests share: a sandbox with a real agent, manifests written as
// files, and a way to wait until the agent has made them real, without guessing how
// long that takes.

import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { AgentClient } from '../../src/api/index.ts'
import {
  defaultConfiguration,
  down,
  nodePaths,
  type ProbeResult,
  type SandboxConfiguration,
  sandboxPaths,
  up,
} from '../../src/sandbox/index.ts'
import { describeSandbox, podManifest, type TestSandbox } from '../sandbox/support.ts'

export const NEEDS_ROOT = process.getuid?.() === 0 ? false : 'makes namespaces and BPF programs: needs root'

const PATIENCE_MS = 30_000

export type TestCluster = TestSandbox & {
  readonly agent: AgentClient
  /** Writes manifests as one file and waits until the agent has acted on all of them. */
  readonly enforce: (file: string, ...objects: readonly object[]) => Promise<void>
  readonly probe: (ports: string, family?: 4 | 6) => Promise<readonly ProbeResult[]>
}

/** A sandbox with an agent of this checkout, up until the test ends. @param changes to the usual configuration */
export async function startCluster(
  context: TestContext,
  name: string,
  changes: Partial<SandboxConfiguration> = {},
): Promise<TestCluster> {
  context.after(() => down(name))
  await down(name)
  await up({ ...defaultConfiguration(name), ...changes })
  return describeCluster(name)
}

export function describeCluster(name: string): TestCluster {
  const sandbox = { ...describeSandbox(name), configuration: defaultConfiguration(name) }
  const agent = new AgentClient(nodePaths(sandboxPaths(name), 'node1').agentSocket)
  let round = 0
  return {
    ...sandbox,
    agent,
    async enforce(file, ...objects) {
      // A file is read as a whole: once its marker is in a table, so are the other objects of it.
      const marker = `marker-${file}-${++round}`
      sandbox.apply(file, ...objects, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: marker } })
      await until(`the agent to read ${file}`, async () => {
        const { rows } = await agent.table('namespaces')
        return rows.some(([first]) => first === marker)
      })
      await agent.settled()
    },
    async probe(ports, family = 4) {
      const { results, skipped } = await sandbox.client.probe({ ports, family, timeoutMs: 400, tries: 2 })
      if (skipped.length > 0) throw new Error(`these pods do not run: ${skipped.join(', ')}`)
      return results
    },
  }
}

/** Asks until it is so. @throws Error when it takes longer than anything here should */
export async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`waited ${PATIENCE_MS} ms for ${what}`)
    await sleep(5)
  }
}

/** A pod with addresses of its own choice. */
export function podAt(key: string, addresses: readonly string[], options: Parameters<typeof podManifest>[1] = {}) {
  const podIPs = addresses.map(ip => ({ ip }))
  return { ...podManifest(key, options), status: { podIP: addresses[0], podIPs } }
}

export const namespaceManifest = (name: string, labels: Readonly<Record<string, string>> = {}) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
})
