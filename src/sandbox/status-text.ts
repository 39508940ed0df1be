// The status of a sandbox for people. Pure.

import type { NodeStatus, SandboxStatus } from './control.ts'
import type { ContainerStatus } from './pods/container.ts'
import type { PodStatus } from './pods/pod.ts'
import type { ServiceStatus } from './services/controller.ts'
import { age, columns } from './text.ts'

export function formatStatus(status: SandboxStatus): string {
  const summary = `sandbox ${status.name}: up for ${age(status.startedAt)}, daemon ${status.pid}, objects in ${status.objects}\n`
  const nodes = columns(
    ['NODE', 'ADDRESSES', 'AGENT', 'RESTARTS', 'PROXY', 'RESTARTS'],
    status.nodes.map(({ name, addresses, agent, proxy }) => [
      name,
      addresses.join(' '),
      ...[agent, proxy].flatMap(process => [processText(process), String(process.restarts)]),
    ]),
  )
  const services = status.services.length > 0 ? `\n${columns(SERVICE_COLUMNS, status.services.map(serviceRow))}` : ''
  if (status.pods.length === 0) return `${summary}\n${nodes}\nno pods; give it some: axoneme apply -f FILE\n${services}`
  const pods = columns(['POD', 'READY', 'STATUS', 'RESTARTS', 'ADDRESSES', 'NODE', 'MESSAGE'], status.pods.map(podRow))
  return `${summary}\n${nodes}\n${pods}${services}`
}

const SERVICE_COLUMNS = ['SERVICE', 'TYPE', 'CLUSTER IP', 'LOAD BALANCER', 'PORTS', 'MESSAGE']

const serviceRow = (service: ServiceStatus): string[] => [
  `${service.namespace}/${service.name}`,
  service.type,
  service.clusterIps.join(' '),
  service.loadBalancerAddresses.join(' '),
  service.ports.join(' '),
  service.message ?? '',
]

function processText(process: NodeStatus['agent']): string {
  switch (process.state) {
    case 'ready':
      return `ready (process ${process.pid})`
    case 'starting':
      return `starting (process ${process.pid}): ${process.detail}`
    case 'waiting':
      return `ended (${process.reason}); starts again in ${process.restartInMs} ms`
    case 'stopped':
      return 'stopped'
  }
}

function podRow(pod: PodStatus): string[] {
  const running = pod.containers.filter(({ ready }) => ready).length
  const troubled = pod.containers.find(({ state }) => state === 'waiting')
  const reason = pod.reason ?? (pod.phase === 'Running' ? troubleOf(troubled)?.reason : undefined) ?? pod.phase
  return [
    `${pod.namespace}/${pod.name}`,
    `${running}/${pod.containers.length}`,
    reason,
    String(pod.containers.reduce((sum, { restarts }) => sum + restarts, 0)),
    pod.addresses.join(' '),
    pod.node,
    pod.message ?? troubleOf(troubled)?.message ?? '',
  ]
}

const troubleOf = (container: ContainerStatus | undefined) =>
  container?.state === 'waiting' ? { reason: container.reason, message: container.message } : undefined
