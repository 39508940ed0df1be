// Makes endpoints' devices real: the veth pair, the programs on it, then addresses and
// routes, in this order, so that the first packet a pod can send meets the program.

import { Namespace, whenLocal, whenRunning } from '../net/index.ts'
import { asError, eachRow, type Operations } from '../state/index.ts'
import type { Endpoint } from '../tables/index.ts'
import type { Attacher } from './attachments.ts'
import type { PodNetwork } from './pod-network.ts'

/** The pod's network namespace is gone, or another pod's by now. Nothing can be set up; the runtime will delete it. */
export class PodGoneError extends Error {
  override readonly name = 'PodGoneError'
  readonly code = 'POD_GONE'

  constructor(endpoint: Endpoint, reason: string, cause?: unknown) {
    super(`pod ${endpoint.podNamespace}/${endpoint.podName}: ${reason}`, { cause })
  }
}

/** @param node the namespace that host sides live in */
export function endpointDeviceOperations(
  network: Pick<PodNetwork, 'createPair' | 'configure' | 'remove' | 'list'>,
  attacher: Pick<Attacher, 'attach' | 'detach' | 'attached'>,
  node: Namespace,
): Operations<Endpoint> {
  async function update(endpoint: Endpoint, signal: AbortSignal): Promise<void> {
    using pod = openPod(endpoint)
    network.createPair(endpoint, pod)
    attacher.attach(endpoint.ifindex)
    network.configure(endpoint, pod)
    // The kernel finishes both from work items: until then it drops what the pod sends, or is sent.
    const isUsable = endpoint.addresses.map(address => whenLocal(pod, address, { signal }))
    await Promise.all([whenRunning(node, endpoint.ifindex, { signal }), ...isUsable])
  }

  return {
    async update(rows, signal) {
      const outcomes = await Promise.allSettled(rows.map(row => update(row, signal)))
      return new Map(
        outcomes.flatMap((outcome, i) => {
          const row = rows[i]
          return row && outcome.status === 'rejected' ? [[row, asError(outcome.reason)] as const] : []
        }),
      )
    },
    delete: eachRow(endpoint => {
      network.remove(endpoint)
      attacher.detach(endpoint.ifindex)
    }),
    async prune(desired) {
      const wanted = new Set(desired.map(endpoint => endpoint.ifindex))
      for (const { index } of network.list()) if (!wanted.has(index)) network.remove({ ifindex: index })
      for (const ifindex of attacher.attached()) if (!wanted.has(ifindex)) attacher.detach(ifindex)
    },
  }
}

function openPod(endpoint: Endpoint): Namespace {
  let pod: Namespace
  try {
    pod = Namespace.open(endpoint.networkNamespace)
  } catch (error) {
    throw new PodGoneError(endpoint, `its network namespace ${endpoint.networkNamespace} cannot be opened`, error)
  }
  if (pod.inode === endpoint.networkNamespaceInode) return pod
  pod.close()
  throw new PodGoneError(endpoint, `${endpoint.networkNamespace} is another network namespace by now`)
}
