// Makes the pods of a node be what the object store says, as a kubelet does: starts what is new, stops what is gone,
// replaces what has another spec. What it does depends only on what is wanted and what runs, not on how that came about.

import type { AgentClient } from '../../api/client.ts'
import { Backoff, pause } from '../backoff.ts'
import { Semaphore } from '../semaphore.ts'
import type { BackendPod } from '../services/slices.ts'
import { type PodManifest, podKey } from './manifest.ts'
import { Pod, type PodHost, type PodStatus, type RunningPod } from './pod.ts'

/** Pods of one node, those that are ending included. */
export const MAX_PODS = 500
/** Pods that set themselves up at the same time. */
const STARTS_AT_ONCE = 4
const ENDPOINT_BACKOFF = { firstMs: 500, maxMs: 10_000 } as const

export type RunnerOptions = Omit<PodHost, 'admit' | 'onEndpointLeft'> & { readonly signal: AbortSignal }

export class PodRunner {
  readonly #host: PodHost
  readonly #signal: AbortSignal
  readonly #wanted = new Map<string, PodManifest>()
  readonly #pods = new Map<string, Pod>()
  readonly #endpointsLeft = new Set<string>()
  #turnedAway: string[] = []

  constructor(options: RunnerOptions) {
    const starts = new Semaphore(STARTS_AT_ONCE)
    this.#signal = options.signal
    this.#host = {
      ...options,
      admit: signal => starts.acquire(signal),
      onEndpointLeft: containerId => this.#deleteLater(containerId, options.agent),
    }
  }

  /** Takes the complete list of pods that this node should run. */
  setWanted(manifests: readonly PodManifest[]): void {
    this.#wanted.clear()
    for (const manifest of manifests.slice(0, MAX_PODS)) this.#wanted.set(podKey(manifest), manifest)
    this.#turnedAway = manifests.slice(MAX_PODS).map(podKey)
    for (const key of new Set([...this.#wanted.keys(), ...this.#pods.keys()])) this.#settle(key)
  }

  status(): PodStatus[] {
    const here = [...this.#pods.values()].map(pod => pod.status)
    const away = this.#turnedAway.map(key => this.#turnedAwayStatus(key))
    return [...here, ...away].sort((a, b) => (podKey(a) < podKey(b) ? -1 : 1))
  }

  /** As endpoints of services: all that have addresses. */
  backends(): BackendPod[] {
    return [...this.#pods.values()].map(pod => pod.backend).filter(pod => pod !== undefined)
  }

  /** Those that can be entered now. */
  running(): RunningPod[] {
    return [...this.#pods.values()].map(pod => pod.running).filter(pod => pod !== undefined)
  }

  /** Pods that are on their way up or down. */
  settling(): boolean {
    return [...this.#pods.values()].some(pod => pod.settling)
  }

  #settle(key: string): void {
    const wanted = this.#wanted.get(key)
    const pod = this.#pods.get(key)
    if (pod?.stopping) return
    if (pod && (!wanted || !pod.update(wanted))) {
      pod.stop()
      void this.#settleAfter(key, pod)
    } else if (!pod && wanted) {
      this.#pods.set(key, new Pod(wanted, this.#host))
    }
  }

  async #settleAfter(key: string, pod: Pod): Promise<void> {
    try {
      await pod.done
    } catch (error) {
      process.stderr.write(`pod ${key}: ${String(error)}\n`)
    }
    this.#pods.delete(key)
    this.#host.onChange()
    this.#settle(key)
  }

  /** The agent was away when a pod ended. */
  #deleteLater(containerId: string, agent: AgentClient): void {
    if (this.#endpointsLeft.size >= MAX_PODS) return
    this.#endpointsLeft.add(containerId)
    void this.#deleteUntilDone(containerId, agent, this.#signal)
  }

  async #deleteUntilDone(containerId: string, agent: AgentClient, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(ENDPOINT_BACKOFF)
    while (await pause(backoff.fail(), signal)) {
      try {
        await agent.deleteEndpoint(containerId, signal)
        this.#endpointsLeft.delete(containerId)
        return
      } catch {
        // Asked again after the pause: an agent that is away comes back, and forgets endpoints without a namespace anyway.
      }
    }
  }

  #turnedAwayStatus(key: string): PodStatus {
    const [namespace = '', name = ''] = key.split('/')
    return {
      namespace,
      name,
      node: this.#host.node,
      phase: 'Pending',
      ready: false,
      reason: 'OutOfpods',
      message: `a node of the sandbox runs at most ${MAX_PODS} pods`,
      addresses: [],
      containers: [],
    }
  }
}
