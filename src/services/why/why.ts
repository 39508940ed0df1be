// Why an address and port leads where it leads: the frontend that it is, what becomes of
// a client there, and of each backend whether new connections get it.

import { cidrContains, ip, parseCidr } from '../../ip/index.ts'
import { PROTOCOLS, protocolName } from '../../labels/index.ts'
import { takesSourceRanges } from '../frontend-content.ts'
import { notChosenOf } from '../resolved.ts'
import {
  type ClientOutcome,
  type MatchedFrontend,
  type ServiceClient,
  type ServiceExplanation,
  type ServiceQuestion,
  type ServiceWorld,
  type WhyNot,
} from './explanation.ts'
import { type FoundFrontend, findFrontend, serviceName } from './find.ts'
import { losers, nearServices, nothingToTranslate } from './near.ts'
import { askedText } from './question.ts'

/** Explains what becomes of who wants to reach an address and port. */
export function explainService(world: ServiceWorld, { target, client }: ServiceQuestion): ServiceExplanation {
  if ('service' in target)
    return {
      asked: serviceName(target.service),
      near: nothingToTranslate(target.service),
      clients: [],
      backends: [],
    }
  const asked = askedText(target)
  const found = findFrontend(world, target)
  if (!found) return { asked, near: nearServices(world, target), clients: [], backends: [] }
  return {
    asked,
    match: matchOf(found),
    near: losers(world, target),
    clients: (client ? [client] : [undefined, 'outside' as const]).map(each => outcomeOf(world, found, each)),
    backends: found.port.backends,
  }
}

function matchOf({ service, port, frontend }: FoundFrontend): MatchedFrontend {
  const { portName, algorithm, affinitySeconds, sourceRanges, forwarding } = port
  return {
    ...frontend,
    protocol: protocolName(port.protocol),
    service: serviceName(service),
    servicePort: port.port,
    portName,
    algorithm,
    affinitySeconds,
    sourceRanges: takesSourceRanges(frontend) ? sourceRanges : [],
    forwarding,
  }
}

/** @param client undefined: any of the cluster; `outside`: any other */
function outcomeOf(
  world: ServiceWorld,
  found: FoundFrontend,
  client: ServiceClient | 'outside' | undefined,
): ClientOutcome {
  const { port } = found
  const kind = client === 'outside' || (client && client.kind === 'outside') ? 'outside' : 'cluster'
  const usable = port.backends.filter(backend => notChosenOf(backend, kind) === undefined)
  const range = sourceRangeOf(found, client)
  const because = whyNot(world, found, client, usable.length)
  const own = client !== undefined && client !== 'outside' && client.kind === 'pod' ? client.pod.addresses : []
  return {
    kind,
    who: whoText(client),
    result: resultOf(because, port.without[kind]),
    ...(because && { because }),
    where: whereOf(world, client, port.protocol),
    usable: usable.length,
    ...(range !== undefined && !because && { sourceRange: range }),
    mayBeItself: !because && usable.some(({ address }) => own.includes(address)),
  }
}

function resultOf(because: WhyNot | undefined, without: 'reject' | 'drop'): ClientOutcome['result'] {
  switch (because) {
    case undefined:
      return 'translated'
    case 'NO_SERVICE':
      return without === 'reject' ? 'rejected' : 'dropped'
    case 'IS_CLUSTER_IP':
    case 'NOT_IN_SOURCE_RANGE':
      return 'dropped'
    default:
      return 'untouched'
  }
}

function whyNot(
  world: ServiceWorld,
  found: FoundFrontend,
  client: ServiceClient | 'outside' | undefined,
  usable: number,
): WhyNot | undefined {
  const { frontend, port } = found
  const isOutside = client === 'outside' || client?.kind === 'outside'
  const isNode = client !== 'outside' && (client?.kind === 'host' || (client?.kind === 'pod' && client.pod.hostNetwork))
  if (client !== 'outside' && client?.kind === 'pod' && !isNode && lacksFamily(client.pod.addresses, port.family))
    return 'NO_ADDRESS'
  if (client !== 'outside' && client?.kind === 'outside' && ip(client.address).family !== port.family)
    return 'NO_ADDRESS'
  if (frontend.reach === 'node' && client !== undefined && !isNode) return 'NODE_ONLY'
  if (isNode && world.sockets === false) return 'NO_SOCKETS'
  if (isNode && port.protocol === PROTOCOLS.SCTP) return 'NO_SCTP'
  if (isOutside && frontend.reach === 'cluster') return 'IS_CLUSTER_IP'
  if (client !== 'outside' && isOutside && hasSourceRanges(found) && sourceRangeOf(found, client) === undefined)
    return 'NOT_IN_SOURCE_RANGE'
  return usable === 0 ? 'NO_SERVICE' : undefined
}

const lacksFamily = (addresses: readonly string[], family: 4 | 6): boolean =>
  addresses.length > 0 && !addresses.some(address => ip(address).family === family)

const hasSourceRanges = ({ frontend, port }: FoundFrontend): boolean =>
  takesSourceRanges(frontend) && port.sourceRanges.length > 0

/** The source range that lets the client in. */
function sourceRangeOf(found: FoundFrontend, client: ServiceClient | 'outside' | undefined): string | undefined {
  if (client === undefined || client === 'outside' || client.kind !== 'outside' || !hasSourceRanges(found))
    return undefined
  const address = ip(client.address)
  return found.port.sourceRanges.find(text => {
    const range = parseCidr(text)
    return range !== undefined && cidrContains(range, address)
  })
}

function whereOf(
  { sockets }: ServiceWorld,
  client: ServiceClient | 'outside' | undefined,
  protocol: number,
): ClientOutcome['where'] {
  if (client === 'outside' || client?.kind === 'outside') return 'device'
  if (client?.kind === 'host' || (client?.kind === 'pod' && client.pod.hostNetwork)) return 'socket'
  const isBySocket = protocol === PROTOCOLS.TCP && sockets !== false && !(client?.kind === 'pod' && client.pod.byPacket)
  return isBySocket ? 'socket' : 'packet'
}

function whoText(client: ServiceClient | 'outside' | undefined): string {
  if (client === undefined) return 'pods and the node'
  if (client === 'outside') return 'outside'
  if (client.kind === 'outside') return `outside ${client.address}`
  return client.kind === 'host' ? 'the node' : `pod ${client.pod.namespace}/${client.pod.name}`
}
