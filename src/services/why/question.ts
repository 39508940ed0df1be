// Reads what somebody asks of a service: an address and port, or the service's name, and
// who the client is. What cannot be asked is told in a sentence, with what is right.

import { formatIp, parseIp } from '../../ip/index.ts'
import { protocolName, protocolNumber, TRANSPORTS } from '../../labels/index.ts'
import { suggestion } from '../../manifests/index.ts'
import { endpointText } from '../frontend-content.ts'
import type {
  AskedAddress,
  KnownPod,
  KnownService,
  ServiceClient,
  ServiceQuestion,
  ServiceWorld,
} from './explanation.ts'
import { serviceName } from './find.ts'
import { nothingToTranslate } from './near.ts'

/** What is asked, as texts. At most one client. */
export type AskedService = {
  /** `IP:PORT[/PROTOCOL]`, `[IPV6]:PORT`, or `NAMESPACE/NAME[:PORT]`. */
  readonly target: string
  /** `NAMESPACE/POD`, or `POD` of namespace default. */
  readonly from?: string
  readonly fromHost?: boolean
  readonly fromOutside?: string
}

/** Something that cannot be asked; the message says what is right. */
export class ServiceQuestionError extends Error {
  override readonly name = 'ServiceQuestionError'
  readonly code = 'BAD_QUESTION'
}

/** @throws ServiceQuestionError */
export function readServiceQuestion(world: ServiceWorld, asked: AskedService): ServiceQuestion {
  const client = readClient(world, asked)
  return { target: readTarget(world, asked.target), ...(client && { client }) }
}

/** `10.0.0.1:80`, `[fd00::1]:80`. @throws ServiceQuestionError */
export function readEndpoint(text: string): { readonly address: string; readonly port: number } {
  const [, bracketed, plain, portText = ''] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d+)$/.exec(text) ?? []
  const address = parseIp(bracketed ?? plain ?? '')
  const port = Number(portText)
  if (!address || port < 1 || port > 65_535)
    throw new ServiceQuestionError(
      `"${text}" is no IP:PORT, such as 10.96.0.10:80 or [fd00::a]:80, with a port from 1 to 65535`,
    )
  return { address: formatIp(address.bytes), port }
}

function readTarget(world: ServiceWorld, text: string): ServiceQuestion['target'] {
  const [, namespace = '', name = '', portText] = /^([a-z0-9-]+)\/([a-z0-9.-]+?)(?::([a-z0-9-]+))?$/.exec(text) ?? []
  if (name) return namedTarget(world, `${namespace}/${name}`, portText)
  const slash = text.indexOf('/')
  const protocol = slash < 0 ? protocolNumber('TCP') : protocolNumber(text.slice(slash + 1))
  if (protocol === undefined || !TRANSPORTS.has(protocol))
    throw new ServiceQuestionError(`services have ports of TCP, UDP and SCTP, not of ${text.slice(slash + 1)}`)
  return { ...readEndpoint(slash < 0 ? text : text.slice(0, slash)), protocol }
}

/** The first address of a service's port. */
function namedTarget(
  { services }: ServiceWorld,
  name: string,
  portText: string | undefined,
): AskedAddress | { readonly service: KnownService } {
  const service = services.find(known => serviceName(known) === name)
  if (!service) {
    throw new ServiceQuestionError(`there is no service ${name}${suggestion(name, services.map(serviceName))}`)
  }
  if (service.ports.length === 0 || nothingToTranslate(service)[0]?.kind !== 'not-in-force') return { service }
  const withAddress = service.ports.filter(({ frontends }) => frontends.length > 0)
  const port = withAddress.find(each => portText === undefined || [each.portName, String(each.port)].includes(portText))
  const [frontend] = port?.frontends ?? []
  if (port && frontend) return { address: frontend.address, port: frontend.port, protocol: port.protocol }
  if (withAddress.length === 0) return { service }
  const ports = new Set(
    withAddress.map(each => `${each.portName || each.port} (${each.port}/${protocolName(each.protocol)})`),
  )
  throw new ServiceQuestionError(`service ${name} has no port ${portText}; it has ${[...ports].join(', ')}`)
}

function readClient(world: ServiceWorld, { from, fromHost, fromOutside }: AskedService): ServiceClient | undefined {
  if ([from !== undefined, fromHost === true, fromOutside !== undefined].filter(Boolean).length > 1)
    throw new ServiceQuestionError('give one client: --from POD, --from-host, or --from-outside ADDRESS')
  if (from !== undefined) return { kind: 'pod', pod: findPod(world, from) }
  if (fromHost) return { kind: 'host' }
  return fromOutside === undefined ? undefined : outsider(world, fromOutside)
}

function findPod({ pods }: ServiceWorld, text: string): KnownPod {
  const name = text.includes('/') ? text : `default/${text}`
  const nameOf = (pod: KnownPod): string => `${pod.namespace}/${pod.name}`
  const pod = pods.find(each => nameOf(each) === name)
  if (pod) return pod
  throw new ServiceQuestionError(`there is no pod ${name}${suggestion(name, pods.map(nameOf))}`)
}

function outsider({ node, pods }: ServiceWorld, text: string): ServiceClient {
  const parsed = parseIp(text)
  if (!parsed) throw new ServiceQuestionError(`"${text}" is no IP address`)
  const address = formatIp(parsed.bytes)
  if (node.addresses.includes(address))
    throw new ServiceQuestionError(`${address} is the node's own address: give --from-host`)
  const pod = pods.find(({ addresses, hostNetwork }) => !hostNetwork && addresses.includes(address))
  if (pod)
    throw new ServiceQuestionError(
      `${address} is the address of pod ${pod.namespace}/${pod.name}: give --from ${pod.namespace}/${pod.name}`,
    )
  return { kind: 'outside', address }
}

/** `ADDRESS:PORT/PROTOCOL`. */
export const askedText = ({ address, port, protocol }: AskedAddress): string =>
  `${endpointText(address, port)}/${protocolName(protocol)}`
