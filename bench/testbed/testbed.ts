// The sandbox that is measured, named `bench`: made before the measurements that need it, removed after them, whatever
// happens. Its pods sleep; load runs in their network namespaces as children of the benchmark.

import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AgentClient } from '../../src/api/client.ts'
import { ProxyClient } from '../../src/api/proxy-client.ts'
import { probe, queryTcx } from '../../src/bpf/index.ts'
import { allLinks, Namespace, NetlinkSocket, withNamespace } from '../../src/net/index.ts'
import {
  defaultConfiguration,
  down,
  nodePaths,
  SandboxClient,
  type SandboxPaths,
  sandboxPaths,
  up,
} from '../../src/sandbox/index.ts'
import { NAMESPACE, podManifest, podName } from './manifests.ts'

const NODE = 'node1'
const PODS_TIMEOUT_MS = 120_000
const PATIENCE_MS = 30_000
const POLL_MS = 20
/** Of the node's side of a pod's veth pair. */
const POD_DEVICE_PREFIX = 'axo'

export type TestbedOptions = {
  /** Of the sandbox. */
  readonly name?: string
  readonly agentArguments?: readonly string[]
  readonly proxyArguments?: readonly string[]
  /** Pods `pod-1` … of the namespace `bench`, each with labels of its own. */
  readonly pods: number
  readonly flowEvents: boolean
  readonly signal: AbortSignal
  readonly say: (step: string) => void
}

/** A pod of the sandbox, as load and yardsticks need to know it. */
export type TestPod = {
  readonly name: string
  readonly namespace: Namespace
  readonly pid: number
  readonly addresses: Record<4 | 6, string>
}

export class Testbed implements AsyncDisposable {
  readonly client: SandboxClient
  readonly agent: AgentClient
  readonly proxy: ProxyClient
  readonly podCount: number
  readonly #name: string
  readonly #paths: SandboxPaths
  readonly #namespaces = new Map<string, Namespace>()

  private constructor(name: string, podCount: number) {
    this.#name = name
    this.#paths = sandboxPaths(name)
    this.client = new SandboxClient(name)
    this.podCount = podCount
    const { agentSocket, proxySocket } = nodePaths(this.#paths, NODE)
    this.agent = new AgentClient(agentSocket)
    this.proxy = new ProxyClient(proxySocket)
  }

  static async start(options: TestbedOptions): Promise<Testbed> {
    const { name = 'bench', agentArguments = [], proxyArguments = [], pods, flowEvents, signal, say } = options
    const { removed } = await down(name)
    if (removed.length > 0) say('removed what was left of an earlier run')
    const standard = defaultConfiguration(name)
    const agentCommand = [...standard.agentCommand, ...(flowEvents ? [] : ['--no-flow-events']), ...agentArguments]
    const proxyCommand = [...standard.proxyCommand, ...proxyArguments]
    const testbed = new Testbed(name, pods)
    try {
      say('starting a sandbox')
      await up({ ...standard, agentCommand, proxyCommand }, { signal })
      say(`starting ${pods} pods`)
      testbed.apply('pods', ...Array.from({ length: pods }, (_, i) => podManifest(i + 1)))
      const patience = { timeoutMs: PODS_TIMEOUT_MS, signal }
      await testbed.client.waitForPods(all => all.filter(pod => pod.ready).length === pods, patience)
      await testbed.untilLinked(signal)
    } catch (error) {
      await testbed[Symbol.asyncDispose]()
      throw error
    }
    return testbed
  }

  /** Puts objects into the sandbox's folder as one file, in one step. */
  apply(file: string, ...objects: readonly object[]): void {
    this.prepare(file, ...objects)()
  }

  /** Writes a file beside its place. @returns what puts it there, which is one rename */
  prepare(file: string, ...objects: readonly object[]): () => void {
    const target = path.join(this.#paths.objects, `${file}.yaml`)
    const fresh = path.join(this.#paths.objects, `.${file}.new`)
    // JSON is YAML, and --- parts documents.
    fs.writeFileSync(fresh, objects.map(object => `${JSON.stringify(object)}\n`).join('---\n'))
    return () => fs.renameSync(fresh, target)
  }

  remove(file: string): void {
    fs.rmSync(path.join(this.#paths.objects, `${file}.yaml`), { force: true })
  }

  async pod(index: number): Promise<TestPod> {
    const name = podName(index)
    const { pid, addresses } = await this.client.pod(NAMESPACE, name)
    const namespace = this.#namespaces.get(name) ?? Namespace.ofProcess(pid)
    this.#namespaces.set(name, namespace)
    const [ipv4] = addresses.filter(address => !address.includes(':'))
    const [ipv6] = addresses.filter(address => address.includes(':'))
    if (!ipv4 || !ipv6) throw new Error(`pod ${name} has no address of each family: ${addresses.join(', ')}`)
    return { name, namespace, pid, addresses: { 4: ipv4, 6: ipv6 } }
  }

  /** The process of the node's agent as it is now. @throws Error when it is not running */
  async agentProcess(): Promise<{ readonly pid: number; readonly isReady: boolean }> {
    const [node] = (await this.client.status()).nodes
    if (!node || !('pid' in node.agent)) throw new Error(`the agent is not running: ${node?.agent.state}`)
    return { pid: node.agent.pid, isReady: node.agent.state === 'ready' }
  }

  /** The process of one of the proxy's servers as it is now. @throws Error when it is not running */
  async proxyServer(name: 'haproxy' | 'dns' | 'kafka'): Promise<number> {
    const server = (await this.proxy.status()).servers.find(each => each.name === name)
    if (!server?.pid) throw new Error(`the server ${name} of the proxy is not running`)
    return server.pid
  }

  /** The node's network namespace, which the caller closes. */
  async nodeNamespace(): Promise<Namespace> {
    return Namespace.ofProcess((await this.agentProcess()).pid)
  }

  /** Where the agent pins maps, in its own mounts. */
  get pinFolder(): string {
    return nodePaths(this.#paths, NODE).bpf
  }

  /** The switch that nodes are plugged into; the caller closes it. */
  async underlay(): Promise<Namespace> {
    return Namespace.ofProcess((await this.client.status()).pid)
  }

  /** Until what the agent's tables say is as asked. @throws Error after a time */
  async until(
    what: string,
    isSo: (testbed: Testbed) => boolean | Promise<boolean>,
    signal: AbortSignal,
    patienceMs = PATIENCE_MS,
  ): Promise<void> {
    const deadline = performance.now() + patienceMs
    while (!(await isSo(this))) {
      if (performance.now() > deadline) throw new Error(`waited ${patienceMs / 1000} s in vain for this: ${what}`)
      await sleep(POLL_MS, undefined, { signal })
    }
  }

  /** Until every reconciler has done all that was wanted, for a moment on end. */
  async untilSettled(signal: AbortSignal, patienceMs = PATIENCE_MS): Promise<void> {
    const isSettled = async () =>
      (await this.agent.status()).reconcilers.every(({ pending, failed }) => pending === 0 && failed.length === 0)
    const isSettledTwice = async () =>
      (await isSettled()) && (await sleep(200, true, { signal })) && (await isSettled())
    await this.until('everything that is wanted is in the kernel', isSettledTwice, signal, patienceMs)
  }

  /** Until every pod's device has its final programs: an agent puts tcx links off to a quiet moment. */
  async untilLinked(signal: AbortSignal): Promise<void> {
    if (probe('tcx').answer !== 'supported') return
    using node = await this.nodeNamespace()
    using netlink = NetlinkSocket.open({ namespace: node })
    const isLinked = (ifindex: number) =>
      withNamespace(node, () => (['ingress', 'egress'] as const).every(side => queryTcx(ifindex, side).length > 0))
    const podDevices = () => netlink.list(allLinks()).filter(link => link.name.startsWith(POD_DEVICE_PREFIX))
    await this.until('every device has its links', () => podDevices().every(({ index }) => isLinked(index)), signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const namespace of this.#namespaces.values()) namespace.close()
    await down(this.#name)
  }
}
