// The same services as objects for an agent, in a folder that it follows beside the sandbox's own: nobody allocates
// anything for them. A hundred services a file, so that a change costs no more than it does where people keep files.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { ProxiedService } from './kube-proxy/services.ts'

const SERVICES_A_FILE = 100

export class ServiceFolder implements Disposable {
  readonly path = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-bench-'))

  /** Replaces all that are there. */
  write(services: readonly ProxiedService[]): void {
    const files = new Set<string>()
    for (let i = 0; i < services.length; i += SERVICES_A_FILE) {
      const name = `services-${i / SERVICES_A_FILE}`
      files.add(`${name}.yaml`)
      this.prepare(name, services.slice(i, i + SERVICES_A_FILE))()
    }
    for (const file of fs.readdirSync(this.path)) if (!files.has(file)) fs.rmSync(path.join(this.path, file))
  }

  /** Writes a file beside its place. @returns what puts it there, which is one rename */
  prepare(name: string, services: readonly ProxiedService[]): () => void {
    const fresh = path.join(this.path, `.${name}.new`)
    // JSON is YAML, and --- parts documents.
    fs.writeFileSync(
      fresh,
      services
        .flatMap(objectsOf)
        .map(object => `${JSON.stringify(object)}\n`)
        .join('---\n'),
    )
    return () => fs.renameSync(fresh, path.join(this.path, `${name}.yaml`))
  }

  remove(name: string): void {
    fs.rmSync(path.join(this.path, `${name}.yaml`), { force: true })
  }

  [Symbol.dispose](): void {
    fs.rmSync(this.path, { recursive: true, force: true })
  }
}

function objectsOf({ namespace, name, portName, protocol, clusterIp, port, nodePort, endpoints }: ProxiedService) {
  const common = { name: portName, protocol: protocol.toUpperCase() }
  const [first] = endpoints
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace, name },
      spec: {
        type: nodePort === undefined ? 'ClusterIP' : 'NodePort',
        clusterIP: clusterIp,
        clusterIPs: [clusterIp],
        ipFamilies: ['IPv4'],
        ports: [{ ...common, port, ...(nodePort !== undefined && { nodePort }) }],
      },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { namespace, name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ ...common, port: first?.port ?? port }],
      endpoints: endpoints.map(({ address }) => ({ addresses: [address], conditions: { ready: true } })),
    },
  ]
}
