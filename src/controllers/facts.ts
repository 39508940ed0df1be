// What the tables say of pods, endpoints, nodes, namespaces and names, taken all at once: a
// change that takes several steps must not see what is declared while it is under way.

import { objectKey, type Tables } from '../tables/index.ts'
import type { AddressFacts, PodEndpoint } from './identities.ts'
import { LastPods } from './last-pods.ts'
import type { Memory } from './memory.ts'

const NO_LABELS: Readonly<Record<string, string>> = {}

export class FactReader {
  readonly #tables: Tables
  readonly #ownNode: AddressFacts['ownNode']
  readonly #lastPods: LastPods

  /** @param memory keeps what the pods of endpoints declared last */
  constructor(tables: Tables, ownNode: AddressFacts['ownNode'], memory: Memory) {
    this.#tables = tables
    this.#ownNode = ownNode
    this.#lastPods = new LastPods(memory)
  }

  read(): AddressFacts {
    const { pods, namespaces, nodes, endpoints } = this.#tables
    const all = endpoints.all()
    const podEndpoints = all.flatMap((endpoint): PodEndpoint[] => {
      const key = objectKey({ namespace: endpoint.podNamespace, name: endpoint.podName })
      const pod = this.#lastPods.of(endpoint, pods.get(key))
      return pod ? [{ endpoint, pod }] : []
    })
    this.#lastPods.retain(all)
    const audited = new Set(namespaces.all().flatMap(({ name, audit }) => (audit ? [name] : [])))
    const labels = new Map(namespaces.all().map(namespace => [namespace.name, namespace.labels]))
    return {
      pods: pods.all(),
      endpoints: podEndpoints,
      nodes: nodes.all(),
      ownNode: this.#ownNode,
      namespaceLabels: name => labels.get(name) ?? NO_LABELS,
      isAudited: name => audited.has(name),
      learnt: this.#learnt(),
    }
  }

  #learnt(): Map<string, string[]> {
    const names = new Map<string, string[]>()
    for (const { name, address } of this.#tables.names.all()) {
      const known = names.get(address)
      if (known) known.push(name)
      else names.set(address, [name])
    }
    return names
  }
}
