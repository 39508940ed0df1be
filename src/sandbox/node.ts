// One node of the sandbox: a network namespace on the underlay, a BPF file system, control groups, an agent, a proxy,
// and the runner of its pods. All of it ends with the daemon.

import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AgentClient } from '../api/client.ts'
import { ProxyClient } from '../api/proxy-client.ts'
import { lastLines } from './bounded-log.ts'
import * as cgroup from './cgroup.ts'
import { agentArguments, type NodeConfiguration, proxyArguments, type SandboxConfiguration } from './configuration.ts'
import type { NodeStatus } from './control.ts'
import { SandboxError } from './errors.ts'
import { mountBpf } from './file-systems.ts'
import { createNodeNamespace } from './network.ts'
import { NodeProcess, type NodeProcessState } from './node-process.ts'
import { containerLog, nodePaths, type SandboxPaths } from './paths.ts'
import { Health } from './pods/health.ts'
import { PodRunner } from './pods/runner.ts'

const FIRST_START_TIMEOUT_MS = 60_000
const PROXY_START_PATIENCE_MS = 2_000
/** An agent that ends this often before it was ever ready will not become so. */
const FIRST_START_ATTEMPTS = 3
const LOG_LINES_SHOWN = 15

export type NodeOptions = {
  readonly configuration: SandboxConfiguration
  readonly node: NodeConfiguration
  readonly position: number
  readonly paths: SandboxPaths
  /** Folder of the whole sandbox in the hierarchy of control groups. */
  readonly sandboxCgroup: string
  readonly signal: AbortSignal
  /** Called when a pod's status may differ. */
  readonly onPods: () => void
}

export class SandboxNode {
  readonly name: string
  readonly runner: PodRunner
  readonly #options: NodeOptions
  readonly #agent: NodeProcess
  readonly #proxy: NodeProcess
  readonly #firstStart = Promise.withResolvers<void>()
  readonly #proxyStarted = Promise.withResolvers<void>()

  /** Makes the namespace and the mounts. @throws SystemError */
  constructor(options: NodeOptions) {
    const { configuration, node, position, paths, sandboxCgroup, signal, onPods } = options
    const own = nodePaths(paths, node.name)
    const group = path.join(sandboxCgroup, node.name)
    fs.mkdirSync(own.bpf, { recursive: true })
    mountBpf(own.bpf)
    const client = new AgentClient(own.agentSocket)
    this.name = node.name
    this.#options = options
    // Its descriptor stays open: the namespace is there also while no agent runs in it.
    const namespace = createNodeNamespace(node, position)
    const networkNamespace = `/proc/${process.pid}/fd/${namespace.fd}`
    this.#agent = new NodeProcess({
      name: 'agent',
      command: [
        ...configuration.agentCommand,
        ...agentArguments(node, { ...own, cgroup: group }, [paths.objects, paths.cluster, ...configuration.folders]),
      ],
      cgroup: cgroup.create(path.join(group, 'agent')),
      networkNamespace,
      log: own.agentLog,
      client,
      signal,
      onChange: state => this.#onAgent(state),
    })
    const proxyCgroup = cgroup.create(path.join(group, 'proxy'))
    fs.mkdirSync(own.proxyState, { recursive: true })
    this.#proxy = new NodeProcess({
      name: 'proxy',
      command: [...configuration.proxyCommand, ...proxyArguments(own, proxyCgroup)],
      cgroup: proxyCgroup,
      networkNamespace,
      log: own.proxyLog,
      client: new ProxyClient(own.proxySocket),
      signal,
      onChange: ({ state }) => {
        if (state === 'ready' || state === 'waiting') this.#proxyStarted.resolve()
      },
    })
    const nodeAddresses = node.addresses.map(address => address.replace(/\/.*$/, ''))
    this.runner = new PodRunner({
      node: node.name,
      hostAddress: nodeAddresses[0] ?? '',
      nodeAddresses,
      nodeNetworkNamespace: networkNamespace,
      health: new Health({ cgroup: cgroup.create(path.join(group, 'health')), networkNamespace }),
      podsCgroup: cgroup.create(path.join(group, 'pods')),
      podFiles: paths.podFiles,
      agent: client,
      signal,
      onChange: onPods,
      logOf: (pod, container) => containerLog(paths, pod, container),
    })
  }

  get status(): NodeStatus {
    const { node, paths } = this.#options
    const { agentSocket, proxySocket } = nodePaths(paths, node.name)
    return {
      name: node.name,
      addresses: node.addresses,
      agent: { ...this.#agent.state, socket: agentSocket, restarts: this.#agent.restarts },
      proxy: { ...this.#proxy.state, socket: proxySocket, restarts: this.#proxy.restarts },
    }
  }

  /** Starts agent and proxy. Resolves when the agent is ready and the proxy had its chance. @throws SandboxError `failed` with the end of its log */
  async start(): Promise<void> {
    void this.#agent.run()
    if (this.#options.configuration.proxyCommand.length > 0) void this.#proxy.run()
    else this.#proxyStarted.resolve()
    const timer = setTimeout(() => {
      this.#firstStart.reject(this.#failure(`was not ready after ${FIRST_START_TIMEOUT_MS / 1000} s`))
    }, FIRST_START_TIMEOUT_MS)
    try {
      await this.#firstStart.promise
      // Without it everything goes on but what is to be judged by it, and status says so.
      await Promise.race([this.#proxyStarted.promise, sleep(PROXY_START_PATIENCE_MS, undefined, { ref: false })])
    } finally {
      clearTimeout(timer)
    }
  }

  #onAgent(state: NodeProcessState): void {
    if (state.state === 'ready') this.#firstStart.resolve()
    else if (state.state === 'waiting' && this.#agent.restarts + 1 >= FIRST_START_ATTEMPTS)
      this.#firstStart.reject(this.#failure(`ended again and again: ${state.reason}`))
  }

  #failure(what: string): SandboxError {
    const { agentLog } = nodePaths(this.#options.paths, this.name)
    const log = lastLines(agentLog, LOG_LINES_SHOWN)
    return new SandboxError('failed', `the agent of ${this.name} ${what}${log ? `\nThe end of its log:\n${log}` : ''}`)
  }
}
