// Says of each endpoint's network namespace where connections to services are
// translated: as the pod or its Kubernetes namespace wants it, else as on the whole node;
// by the packet where the node has no socket programs.

import { waitForAny } from '../state/index.ts'
import { type Endpoint, objectKey, type PodNamespace, type Tables } from '../tables/index.ts'

export type PodNamespaceControllerOptions = {
  readonly tables: Tables
  /** Whether this node has socket programs. */
  readonly translatesInSockets: boolean
  /** For pods that do not ask. */
  readonly byDefault: PodNamespace['translation']
}

type Reason = Pick<PodNamespace, 'translation' | 'because'>

export class PodNamespaceController {
  readonly #tables: Tables
  readonly #translatesInSockets: boolean
  readonly #byDefault: PodNamespace['translation']
  readonly #markInitialized: () => void

  constructor({ tables, translatesInSockets, byDefault }: PodNamespaceControllerOptions) {
    this.#tables = tables
    this.#translatesInSockets = translatesInSockets
    this.#byDefault = byDefault
    this.#markInitialized = tables.podNamespaces.registerInitializer('pod namespace controller')
  }

  /** Until the signal is aborted. Nothing is said of a pod before its annotations are known. */
  async run(signal: AbortSignal): Promise<void> {
    const { endpoints, pods, namespaces, database } = this.#tables
    for (const table of [endpoints, pods, namespaces]) if (!(await table.whenInitialized(signal))) return
    using endpointChanges = endpoints.watch()
    using podChanges = pods.watch()
    using namespaceChanges = namespaces.watch()
    do {
      const touched = new Set<Endpoint>()
      const gone: Endpoint[] = []
      for (const change of endpointChanges.take())
        if (change.kind === 'put') touched.add(change.row)
        else gone.push(change.previous)
      for (const { key } of podChanges.take()) for (const endpoint of endpoints.by('pod', key)) touched.add(endpoint)
      const touchedNamespaces = new Set(namespaceChanges.take().map(({ key }) => key))
      if (touchedNamespaces.size > 0)
        for (const endpoint of endpoints.all()) if (touchedNamespaces.has(endpoint.podNamespace)) touched.add(endpoint)
      database.write(tx => {
        for (const endpoint of gone) tx.delete(this.#tables.podNamespaces, endpoint.networkNamespaceCookie)
        for (const endpoint of touched) tx.put(this.#tables.podNamespaces, this.#rowOf(endpoint))
        this.#markInitialized()
      })
    } while (await waitForAny([endpointChanges, podChanges, namespaceChanges], signal))
  }

  #rowOf(endpoint: Endpoint): PodNamespace {
    const { id, addresses, podNamespace, podName, networkNamespaceCookie: cookie } = endpoint
    const pod = objectKey({ namespace: podNamespace, name: podName })
    return { cookie, endpoint: id, pod, addresses, ...this.#reasonOf(endpoint, pod) }
  }

  #reasonOf(endpoint: Endpoint, key: string): Reason {
    const { pods, namespaces, podNamespaces } = this.#tables
    if (!this.#translatesInSockets) return { translation: 'packet', because: 'no socket programs' }
    const pod = pods.get(key)
    // A pod that is deleted keeps what it had, as long as its processes run.
    const before = podNamespaces.get(endpoint.networkNamespaceCookie)
    if (!pod && before) return { translation: before.translation, because: before.because }
    if (pod?.translation) return { translation: pod.translation, because: 'the pod' }
    const { translation } = namespaces.get(endpoint.podNamespace) ?? {}
    return translation ? { translation, because: 'its namespace' } : { translation: this.#byDefault, because: '' }
  }
}
