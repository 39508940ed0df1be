// What plays the API server and the controllers of the cluster: follows the declared objects, makes the pods of
// Deployments, gives pods to nodes, and keeps Services and their EndpointSlices as the pods are.

import { type ManifestObject, readNode } from '../manifests/index.ts'
import { FileSource, type ObjectChanges } from '../sources/index.ts'
import type { SandboxConfiguration } from './configuration.ts'
import type { SandboxPaths } from './paths.ts'
import type { PodManifest } from './pods/manifest.ts'
import type { PodRunner } from './pods/runner.ts'
import { PodCollection } from './pods/source.ts'
import { ClusterFolder } from './services/cluster-folder.ts'
import { ServiceController, type ServiceStatus } from './services/controller.ts'
import { rangesOf } from './services/ranges.ts'
import { DeploymentController } from './workloads/deployments.ts'

const ZONE_LABEL = 'topology.kubernetes.io/zone'

/** A node that pods are given to. */
export type PodNode = { readonly name: string; readonly runner: PodRunner }

export class ControlPlane {
  readonly #folders: readonly string[]
  readonly #services: ServiceController
  readonly #pods = new PodCollection()
  readonly #deployments: DeploymentController
  readonly #zones = new Map<string, string>()
  #nodes: readonly PodNode[] = []
  #podsDiffer = false

  constructor(configuration: SandboxConfiguration, paths: SandboxPaths) {
    const podCidrs = configuration.nodes.flatMap(node => node.podCidrs)
    this.#folders = [paths.objects, ...configuration.folders]
    const folder = new ClusterFolder(paths.cluster)
    this.#services = new ServiceController({ folder, ranges: rangesOf(podCidrs) })
    this.#deployments = new DeploymentController(folder)
  }

  /** Until the signal is aborted. */
  run(nodes: readonly PodNode[], signal: AbortSignal): Promise<void> {
    this.#nodes = nodes
    const sink = {
      apply: (changes: ObjectChanges) => this.#apply(changes),
      report: () => {},
      initialized: () => this.#assign(),
    }
    return new FileSource(this.#folders).run(sink, signal)
  }

  /** To be called when the status of a pod may differ. Looked at soon, once for all that happens at the same time. */
  onPods(): void {
    if (this.#podsDiffer) return
    this.#podsDiffer = true
    setImmediate(() => {
      this.#podsDiffer = false
      this.#updateEndpoints()
      const running = this.#nodes.flatMap(({ runner }) => runner.status())
      if (this.#deployments.setRunning(running)) this.#assign()
    })
  }

  services(): ServiceStatus[] {
    return this.#services.status()
  }

  #apply(changes: ObjectChanges): void {
    for (const node of changes.deleted.filter(isNode)) this.#zones.delete(node.metadata.name)
    for (const node of changes.put.filter(isNode)) {
      const zone = readNode(node).value?.labels[ZONE_LABEL]
      if (zone === undefined) this.#zones.delete(node.metadata.name)
      else this.#zones.set(node.metadata.name, zone)
    }
    this.#pods.apply(changes)
    this.#deployments.apply(changes)
    this.#services.apply(changes)
    this.#assign()
    if ([...changes.put, ...changes.deleted].some(isNode)) this.onPods()
  }

  /** A pod without a node goes to the first. One that names a node that is not here runs nowhere. */
  #assign(): void {
    const pods = [...this.#pods.pods(), ...this.#deployments.pods()]
    for (const [position, node] of this.#nodes.entries()) {
      const isHere = ({ spec }: PodManifest): boolean => (spec.nodeName ? spec.nodeName === node.name : position === 0)
      node.runner.setWanted(pods.filter(isHere))
    }
  }

  #updateEndpoints(): void {
    const pods = this.#nodes.flatMap(({ name, runner }) => {
      const zone = this.#zones.get(name)
      return runner.backends().map(pod => ({ ...pod, ...(zone !== undefined && { zone }) }))
    })
    this.#services.setPods(pods)
  }
}

const isNode = ({ apiVersion, kind }: ManifestObject): boolean => apiVersion === 'v1' && kind === 'Node'
