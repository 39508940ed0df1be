// The life of one pod on a node: namespaces, then its network from the agent, then its containers, and all of that again
// if the namespaces are lost. No command of the pod runs before the agent has said that the pod's policy is in force.

import { randomUUID } from 'node:crypto'
import type { AgentClient } from '../../api/client.ts'
import { Backoff, pause } from '../backoff.ts'
import { messageOf } from '../errors.ts'
import type { BackendPod } from '../services/slices.ts'
import { Container, type ContainerStatus } from './container.ts'
import type { Health } from './health.ts'
import { type PodManifest, restartKey } from './manifest.ts'
import { type PodPlan, planPod, type Refusal, resolverOf } from './plan.ts'
import { PodSandbox } from './pod-sandbox.ts'

const AGENT_BACKOFF = { firstMs: 50, maxMs: 2_000 } as const
const RESTART_BACKOFF = { firstMs: 500, maxMs: 30_000, resetAfterMs: 60_000 } as const
const AGENT_ADD_TIMEOUT_MS = 30_000
const AGENT_DELETE_TIMEOUT_MS = 5_000

export type PodPhase = 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Terminating'

export type PodStatus = {
  readonly namespace: string
  readonly name: string
  readonly node: string
  readonly phase: PodPhase
  /** Every container runs and is ready, and the pod is not being deleted. */
  readonly ready: boolean
  /** Since when it is being deleted. */
  readonly deletionTimestamp?: string
  readonly reason?: string
  readonly message?: string
  readonly addresses: readonly string[]
  readonly containers: readonly ContainerStatus[]
}

/** What a running pod can be entered with. */
export type RunningPod = {
  readonly manifest: PodManifest
  readonly pid: number
  readonly cgroup: string
  readonly networkNamespace: string
  readonly addresses: readonly string[]
  readonly plan: PodPlan
}

export type PodHost = {
  readonly node: string
  readonly hostAddress: string
  /** For pods in the node's own network: its addresses, and the file of its namespace. */
  readonly nodeAddresses: readonly string[]
  readonly nodeNetworkNamespace: string
  readonly health: Health
  readonly podsCgroup: string
  readonly podFiles: string
  readonly agent: AgentClient
  readonly logOf: (pod: PodManifest, container: string) => string
  /** Resolves when the pod may set itself up: not all at once on a small machine. The result says that it is done. */
  readonly admit: (signal: AbortSignal) => Promise<() => void>
  /** An endpoint that the agent could not be told to delete. */
  readonly onEndpointLeft: (containerId: string) => void
  /** The status may differ. */
  readonly onChange: () => void
}

type Network = { readonly addresses: readonly string[] }

export class Pod {
  readonly #host: PodHost
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  #manifest: PodManifest
  #phase: PodPhase = 'Pending'
  #waiting: Refusal | undefined = { reason: 'ContainerCreating', message: '' }
  #refused = false
  #containers: Container[] = []
  #running: RunningPod | undefined
  #deletionTimestamp: string | undefined

  /** Starts at once. */
  constructor(manifest: PodManifest, host: PodHost) {
    this.#manifest = manifest
    this.#host = host
    this.#done = this.#live(this.#stop.signal)
  }

  /** Resolves when nothing of the pod is left. */
  get done(): Promise<void> {
    return this.#done
  }

  get stopping(): boolean {
    return this.#stop.signal.aborted
  }

  /** It will soon be otherwise by itself: it is on its way up or down. */
  get settling(): boolean {
    return this.stopping || (this.#phase === 'Pending' && this.#running === undefined && !this.#refused)
  }

  get running(): RunningPod | undefined {
    return this.#running
  }

  get status(): PodStatus {
    const { namespace, name } = this.#manifest
    const containers = this.#containers.map(container => container.status)
    const ready = this.#isServing && !this.stopping
    return {
      namespace,
      name,
      node: this.#host.node,
      phase: this.stopping && this.#phase !== 'Failed' && this.#phase !== 'Succeeded' ? 'Terminating' : this.#phase,
      ready,
      ...(this.#deletionTimestamp && { deletionTimestamp: this.#deletionTimestamp }),
      ...this.#waiting,
      addresses: this.#running?.addresses ?? [],
      containers,
    }
  }

  /** The pod as an endpoint of services; undefined while it has no address. */
  get backend(): BackendPod | undefined {
    if (!this.#running) return undefined
    const { addresses } = this.#running
    const { namespace, name, uid, labels, namedPorts, spec } = this.#manifest
    return {
      namespace,
      name,
      uid,
      labels,
      node: this.#host.node,
      hostname: spec.hostname,
      subdomain: spec.subdomain,
      addresses,
      namedPorts,
      ready: this.#isServing,
      terminating: this.stopping,
      over: this.#phase === 'Succeeded' || this.#phase === 'Failed',
    }
  }

  get #isServing(): boolean {
    return this.#phase === 'Running' && this.#containers.every(container => isFine(container.status))
  }

  /** @returns false when the change needs another pod in place of this one */
  update(manifest: PodManifest): boolean {
    if (restartKey(manifest) !== restartKey(this.#manifest)) return false
    this.#manifest = manifest
    if (this.#running) this.#running = { ...this.#running, manifest }
    this.#host.onChange()
    return true
  }

  /** Asks the containers to end, and kills them after their grace period. */
  stop(): void {
    this.#deletionTimestamp = new Date().toISOString()
    this.#stop.abort()
    this.#host.onChange()
  }

  async #live(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(RESTART_BACKOFF)
    const refused = this.#refusal()
    if (refused) {
      this.#waiting = refused
      this.#refused = true
      return
    }
    do {
      backoff.start()
      try {
        if (await this.#liveOnce(signal)) return
      } catch (error) {
        if (!signal.aborted) this.#waiting = { reason: 'FailedCreatePodSandBox', message: messageOf(error) }
      }
    } while (!signal.aborted && (await pause(backoff.fail(), signal)))
  }

  #refusal(): Refusal | undefined {
    const planned = planPod(this.#manifest, { ...this.#host, addresses: [] })
    return 'refused' in planned ? planned.refused : undefined
  }

  /** @returns true when the pod is over: stopped, or all its containers have done their work */
  async #liveOnce(signal: AbortSignal): Promise<boolean> {
    const { podsCgroup, podFiles } = this.#host
    const pod = this.#manifest
    const containerId = randomUUID().replaceAll('-', '')
    const hostname = (pod.spec.hostname ?? pod.name).slice(0, 63)
    const admitted = await this.#host.admit(signal)
    let sandbox: PodSandbox | undefined
    try {
      const networkNamespace = pod.spec.hostNetwork ? this.#host.nodeNetworkNamespace : undefined
      const resolver = resolverOf(pod)
      sandbox = await PodSandbox.start({ hostname, resolver, containerId, podsCgroup, podFiles, networkNamespace })
      const network = await this.#connect(sandbox, signal, admitted)
      admitted()
      return network === undefined ? signal.aborted : await this.#runContainers(sandbox, network, signal)
    } finally {
      admitted()
      this.#running = undefined
      this.#host.onChange()
      if (sandbox) await this.#takeDown(sandbox)
    }
  }

  /** Asks the agent for the pod's network until it is there. @returns undefined when it is no longer wanted */
  async #connect(sandbox: PodSandbox, signal: AbortSignal, onWait: () => void): Promise<Network | undefined> {
    const { namespace, name, spec } = this.#manifest
    if (spec.hostNetwork) return { addresses: this.#host.nodeAddresses }
    const backoff = new Backoff(AGENT_BACKOFF)
    const gone = new AbortController()
    void sandbox.ended.then(() => gone.abort())
    const either = AbortSignal.any([signal, gone.signal])
    const request = {
      containerId: sandbox.containerId,
      netns: sandbox.networkNamespace,
      interface: 'eth0',
      pod: { namespace, name },
    }
    do {
      try {
        const answered = AbortSignal.any([either, AbortSignal.timeout(AGENT_ADD_TIMEOUT_MS)])
        const { addresses } = await this.#host.agent.addEndpoint(request, answered)
        return { addresses }
      } catch (error) {
        if (!either.aborted) this.#waiting = { reason: 'NetworkNotReady', message: messageOf(error) }
        // One that cannot be helped now must not hold up the others.
        onWait()
      }
    } while (await pause(backoff.fail(), either))
    return undefined
  }

  async #runContainers(sandbox: PodSandbox, { addresses }: Network, signal: AbortSignal): Promise<boolean> {
    const planned = planPod(this.#manifest, { ...this.#host, addresses })
    if ('refused' in planned) throw new Error(planned.refused.message)
    const { plan } = planned
    sandbox.setAddresses(addresses)
    const { pid, cgroup, networkNamespace } = sandbox
    const lost = new AbortController()
    void sandbox.ended.then(() => lost.abort())
    const either = AbortSignal.any([signal, lost.signal])

    const make = (planned: PodPlan['containers'][number]) =>
      new Container(planned, this.#host.logOf(this.#manifest, planned.name), this.#host.onChange)
    const initContainers = plan.initContainers.map(make)
    const containers = plan.containers.map(make)
    this.#containers = [...initContainers, ...containers]
    this.#running = { manifest: this.#manifest, pid, cgroup, networkNamespace, addresses, plan }
    this.#waiting = undefined
    this.#host.onChange()

    const { health } = this.#host
    const setting = { sandbox, addresses, gracePeriodMs: plan.gracePeriodMs, health }
    const sidecars = new AbortController()
    const background: Promise<number>[] = []
    const initPolicy = plan.restartPolicy === 'Never' ? 'Never' : 'OnFailure'
    for (const [index, container] of initContainers.entries()) {
      if (plan.initContainers[index]?.sidecar) {
        const until = AbortSignal.any([either, sidecars.signal])
        background.push(container.run(setting, 'Always', until))
        continue
      }
      const exitCode = await container.run(setting, initPolicy, either)
      if (exitCode !== 0 && !either.aborted) {
        sidecars.abort()
        await Promise.all(background)
        return this.#finish([exitCode])
      }
    }
    this.#phase = 'Running'
    const runs = containers.map(container => container.run(setting, plan.restartPolicy, either))
    const exitCodes = await Promise.all(runs)
    sidecars.abort()
    await Promise.all(background)
    if (signal.aborted) return true
    if (!lost.signal.aborted) return this.#finish(exitCodes)
    this.#phase = 'Pending'
    this.#waiting = { reason: 'SandboxChanged', message: await sandbox.ended }
    return false
  }

  #finish(exitCodes: readonly number[]): true {
    this.#phase = exitCodes.every(code => code === 0) ? 'Succeeded' : 'Failed'
    return true
  }

  /** The agent first: it takes its device out of the namespace before that is gone. */
  async #takeDown(sandbox: PodSandbox): Promise<void> {
    try {
      const patience = AbortSignal.timeout(AGENT_DELETE_TIMEOUT_MS)
      if (!this.#manifest.spec.hostNetwork) await this.#host.agent.deleteEndpoint(sandbox.containerId, patience)
    } catch {
      this.#host.onEndpointLeft(sandbox.containerId)
    }
    await sandbox.close()
  }
}

function isFine(container: ContainerStatus): boolean {
  return container.ready || (container.state === 'terminated' && container.exitCode === 0)
}
