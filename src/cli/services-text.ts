// Services in words and columns for people: all of them as `kubectl get svc` lists them,
// or one with its frontends and backends.

import { protocolName } from '../labels/index.ts'
import { endpointText, type ServiceBackend, type ServiceFrontend } from '../services/index.ts'
import { type NumberedPort, SERVICE_STATUS_COLUMNS, type ServiceDetail, type ServiceStatus } from '../tables/index.ts'
import { colours as pc } from './colours.ts'
import { tableText } from './output.ts'

export function serviceListText(rows: readonly ServiceStatus[]): string {
  const columns = Object.entries(SERVICE_STATUS_COLUMNS)
  return tableText(
    columns.map(([title]) => title),
    rows.map(row => columns.map(([, text]) => text(row))),
  )
}

const INDENT = 13

export function serviceDetailText(service: ServiceDetail): string {
  const { namespace, name, origin, type, state, message, since, clusterIps, externalAddresses, problems } = service
  const fields: [string, readonly string[]][] = [
    ['service', [`${namespace}/${name}`]],
    ['where', [`${origin.file}:${origin.line}`]],
    ['type', type ? [type] : []],
    ['status', [state === 'in-force' ? pc.green(message) : pc.yellow(`${state}: ${message}`)]],
    ['in force', since === undefined ? [] : [`since ${since}`]],
    ['cluster IP', clusterIps],
    ['external IP', externalAddresses],
    ['policies', settingTexts(service)],
    ['problems', problems.map(problemText)],
  ]
  const head = fields
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => `${pc.bold(title.padEnd(INDENT))}${lines.join(`\n${' '.repeat(INDENT)}`)}`)
    .join('\n')
  return [head, ...service.entries.map(portText)].join('\n\n')
}

function settingTexts({ declared }: ServiceDetail): string[] {
  if (!declared) return []
  const { internalTrafficPolicy, externalTrafficPolicy, affinitySeconds, trafficDistribution } = declared
  const { publishNotReadyAddresses, loadBalancerSourceRanges, healthCheckNodePort } = declared
  return [
    `internal traffic ${internalTrafficPolicy}, external traffic ${externalTrafficPolicy}`,
    ...(affinitySeconds === undefined ? [] : [`affinity of client addresses, ${affinitySeconds} s`]),
    ...(trafficDistribution === undefined ? [] : [`traffic distribution ${trafficDistribution}`]),
    ...(publishNotReadyAddresses ? ['addresses that are not ready count as ready'] : []),
    ...(loadBalancerSourceRanges.length > 0 ? [`load balancer only from ${loadBalancerSourceRanges.join(', ')}`] : []),
    ...(healthCheckNodePort === undefined ? [] : [`health check on node port ${healthCheckNodePort}`]),
  ]
}

function problemText({ severity, message, file, line, column }: ServiceStatus['problems'][number]): string {
  const text = `${file}:${line}:${column}: ${severity}: ${message}`
  return severity === 'error' ? pc.red(text) : pc.yellow(text)
}

function portText(port: NumberedPort): string {
  const { portName, protocol, family, number, frontends, backends } = port
  const title = `${portName ? `${portName} ` : ''}${port.port}/${protocolName(protocol)} over IPv${family}`
  return [
    `${pc.bold(title)}, number ${number}: ${[...behaviours(port)].join(', ')}`,
    ...(frontends.length === 0
      ? ['no address stands for it on this node']
      : [tableText(['FRONTEND', 'KIND', 'FOR'], frontends.map(frontendRow))]),
    ...(backends.length === 0
      ? ['no backends are known']
      : [
          tableText(
            ['BACKEND', 'POD', 'NODE', 'ZONE', 'STATE', 'WEIGHT', 'NEW CONNECTIONS'],
            backends.map(backend => [...backendCells(backend), newConnectionsText(backend)]),
          ),
        ]),
  ]
    .join('\n')
    .replaceAll('\n', '\n  ')
}

function behaviours({ algorithm, affinitySeconds, forwarding, sourceRanges, without }: NumberedPort): string[] {
  return [
    algorithm,
    ...(affinitySeconds > 0 ? [`affinity ${affinitySeconds} s`] : []),
    `outside clients by ${forwarding.toUpperCase()}`,
    ...(sourceRanges.length > 0 ? [`from ${sourceRanges.join(' ')}`] : []),
    without.cluster === without.outside
      ? `without a backend ${without.cluster}`
      : `without a backend ${without.cluster} (of outside clients ${without.outside})`,
  ]
}

export const REACHES: Readonly<Record<ServiceFrontend['reach'], string>> = {
  cluster: 'the cluster',
  everybody: 'everybody',
  node: 'processes of the node',
}

const frontendRow = ({ address, port, kind, reach }: ServiceFrontend): string[] => [
  endpointText(address, port),
  kind,
  REACHES[reach],
]

/** Address, pod, node, zone, state, weight. */
export const backendCells = (backend: ServiceBackend): string[] => [
  endpointText(backend.address, backend.port),
  backend.pod ?? '',
  backend.node ?? '',
  backend.zone ?? '',
  backendState(backend),
  String(backend.weight),
]

function backendState({ ready, serving, terminating }: ServiceBackend): string {
  if (terminating) return serving ? 'terminating, serving' : 'terminating'
  return ready ? 'ready' : serving ? 'serving, not ready' : 'not ready'
}

function newConnectionsText({ notForCluster, notForOutside }: ServiceBackend): string {
  if (notForCluster === notForOutside) return notForCluster === undefined ? 'yes' : pc.yellow(`no: ${notForCluster}`)
  const text = (why: string | undefined): string => (why === undefined ? 'yes' : `no: ${why}`)
  return pc.yellow(`of the cluster ${text(notForCluster)}; of outside ${text(notForOutside)}`)
}
