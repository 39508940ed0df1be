// What the tests of the sandbox share: a sandbox of their own with a stub in place of the agent, always removed again,
// and manifests in a line.

import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { Writable } from 'node:stream'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { spawnInPod } from '../../src/sandbox/exec.ts'
import {
  defaultConfiguration,
  down,
  type PodStatus,
  SandboxClient,
  type SandboxConfiguration,
  type SandboxPaths,
  sandboxPaths,
  up,
} from '../../src/sandbox/index.ts'

export const NEEDS_ROOT = process.getuid?.() === 0 ? false : 'makes namespaces and control groups: needs root'

/** Generous: a loaded machine must not fail a test. */
export const POD_TIMEOUT_MS = 60_000

export const STUB_AGENT = [process.execPath, fileURLToPath(import.meta.resolve('./stub-agent.ts'))]

export type TestSandbox = {
  readonly name: string
  readonly client: SandboxClient
  readonly paths: SandboxPaths
  readonly configuration: SandboxConfiguration
  /** Writes a manifest into the object store. */
  readonly apply: (file: string, ...objects: readonly object[]) => void
  readonly remove: (file: string) => void
  readonly pod: (key: string) => Promise<PodStatus | undefined>
  /** Waits until a pod is as asked. */
  readonly until: (key: string, isDone: (pod: PodStatus) => boolean) => Promise<PodStatus>
  readonly untilReady: (...keys: readonly string[]) => Promise<void>
  readonly untilGone: (key: string) => Promise<void>
}

/** A sandbox that is up until the test ends. */
export async function startSandbox(context: TestContext, name: string): Promise<TestSandbox> {
  const sandbox = describeSandbox(name)
  context.after(() => down(name))
  await up(sandbox.configuration)
  return sandbox
}

export function describeSandbox(name: string): TestSandbox {
  const client = new SandboxClient(name)
  const paths = sandboxPaths(name)
  const find = (pods: readonly PodStatus[], key: string) => pods.find(pod => `${pod.namespace}/${pod.name}` === key)
  const until = async (key: string, isDone: (pod: PodStatus) => boolean): Promise<PodStatus> => {
    const options = { timeoutMs: POD_TIMEOUT_MS }
    const isIt = (pods: readonly PodStatus[]) => pods.some(pod => pod === find(pods, key) && isDone(pod))
    const found = find(await client.waitForPods(isIt, options), key)
    assert.ok(found)
    return found
  }
  return {
    name,
    client,
    paths,
    configuration: { ...defaultConfiguration(name), agentCommand: STUB_AGENT, proxyCommand: [] },
    apply: (file, ...objects) => {
      const text = objects.map(object => JSON.stringify(object)).join('\n---\n')
      fs.writeFileSync(path.join(paths.objects, `.${file}.new`), text)
      fs.renameSync(path.join(paths.objects, `.${file}.new`), path.join(paths.objects, `${file}.yaml`))
    },
    remove: file => fs.rmSync(path.join(paths.objects, `${file}.yaml`)),
    pod: async key => find((await client.status()).pods, key),
    until,
    untilReady: async (...keys) => {
      for (const key of keys) await until(key, pod => pod.ready)
    },
    untilGone: async key => {
      await client.waitForPods(pods => find(pods, key) === undefined, { timeoutMs: POD_TIMEOUT_MS })
    },
  }
}

type PodOptions = {
  readonly labels?: Readonly<Record<string, string>>
  readonly ports?: readonly object[]
  readonly image?: string
  readonly command?: readonly string[]
  readonly spec?: object
}

/** A pod of one container `c`: the echo server unless it has a command. */
export function podManifest(key: string, { labels = {}, ports, image = 'agnhost', command, spec }: PodOptions = {}) {
  const [namespace, name] = key.split('/')
  const container = { name: 'c', image, ...(ports && { ports }), ...(command && { command }) }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name, labels },
    // A test does not wait for a shell that does not listen to SIGTERM.
    spec: { terminationGracePeriodSeconds: 1, containers: [container], ...spec },
  }
}

/** Collects what a command prints. */
export function capture(): { stdout: Writable; stderr: Writable; text: () => string; errors: () => string } {
  const collect = (): { stream: Writable; text: () => string } => {
    let text = ''
    const stream = new Writable({
      write: (chunk: Buffer, _, done) => {
        text += chunk.toString()
        done()
      },
    })
    return { stream, text: () => text }
  }
  const [out, error] = [collect(), collect()]
  return { stdout: out.stream, stderr: error.stream, text: out.text, errors: error.text }
}

export type Finished = { readonly code: number; readonly stdout: string; readonly stderr: string }

/** Runs a command inside a pod, as `sandbox exec` does. */
export async function runInPod(
  { client }: TestSandbox,
  key: string,
  command: readonly string[],
  input: string | Buffer = '',
): Promise<Finished> {
  const [namespace = '', pod = ''] = key.split('/')
  const child = await spawnInPod(client, { namespace, pod, command, terminal: false }, 'pipe')
  return await finish(child, input)
}

/** Runs a program to its end. */
export async function finish(child: ChildProcess, input: string | Buffer = ''): Promise<Finished> {
  let [stdout, stderr] = ['', '']
  child.stdout?.on('data', (text: Buffer) => (stdout += text.toString()))
  child.stderr?.on('data', (text: Buffer) => (stderr += text.toString()))
  // A command need not read what it is given.
  child.stdin?.on('error', () => {}).end(input)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code: code ?? -1, stdout, stderr }
}
