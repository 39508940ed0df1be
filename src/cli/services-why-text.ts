// An explanation of a service's address in words for people: what it is first, then what
// becomes of the client, every backend, and where the kernel has it otherwise.

import {
  type ClientOutcome,
  type KernelView,
  type LiveConnection,
  type MatchedFrontend,
  type Near,
  type NotChosen,
  notChosenOf,
  type ServiceBackend,
  type ServiceExplanation,
  type WhyNot,
} from '../services/index.ts'
import { colours as pc } from './colours.ts'
import { tableText } from './output.ts'
import { backendCells, REACHES } from './services-text.ts'

export function serviceExplanationText(explanation: ServiceExplanation): string {
  const { asked, match, near, clients, backends, kernel } = explanation
  const head = match
    ? matchLines(asked, match)
    : [`${pc.bold(asked)} ${pc.yellow(NO_FRONTEND[asked.includes(':') ? 'address' : 'name'])}`]
  const held = kernel ? kernelLines(kernel) : []
  const isAsWanted = kernel === undefined || kernel.state === 'same'
  const sections = [
    [...head, ...near.map(nearText)],
    // What is said below is what is wanted: where the kernel has something else, that comes first.
    isAsWanted ? [] : held,
    clients.map(outcomeText),
    match ? [backends.length > 0 ? backendsText(backends, clients) : 'No backends are known.'] : [],
    isAsWanted ? held : [],
  ]
  return sections
    .filter(lines => lines.length > 0)
    .map(lines => lines.join('\n'))
    .join('\n\n')
}

const NO_FRONTEND = {
  address: 'is no address of a service',
  name: 'has no address that stands for it',
} as const

function matchLines(asked: string, match: MatchedFrontend): string[] {
  const { service, portName, servicePort, protocol, kind, reach, algorithm, affinitySeconds } = match
  const port = `${portName ? `${portName}, ` : ''}${servicePort}/${protocol}`
  return [
    `${pc.bold(asked)} is a ${kind} of ${pc.bold(service)} (port ${port}), there for ${REACHES[reach]}`,
    `backends are chosen by ${algorithm}${affinitySeconds > 0 ? `; a client stays with its own for ${affinitySeconds} s` : ''}`,
    ...(match.sourceRanges.length > 0 ? [`clients outside must come from ${match.sourceRanges.join(', ')}`] : []),
    ...(reach === 'everybody'
      ? [`backends on other nodes answer clients outside by ${match.forwarding.toUpperCase()}`]
      : []),
  ]
}

function nearText(near: Near): string {
  switch (near.kind) {
    case 'lost':
      return pc.yellow(`${near.service} claims it too, and does not have it: it belongs to ${near.to}`)
    case 'other-proxy':
      return `${near.service} is left to another proxy, ${near.proxy}, by its label service.kubernetes.io/service-proxy-name`
    case 'not-in-force':
      return `${near.service} declares it, but it is not in force: \`axoneme services ${near.service}\` says why`
    case 'headless':
      return `${near.service} is headless: clients get the addresses of its backends from DNS, and nothing is translated`
    case 'external-name':
      return `${near.service} is an ExternalName: a name in DNS alone, without an address`
    case 'load-balancer':
      return `the load balancer of ${near.service} answers there itself (ipMode Proxy), not this node`
    case 'backend':
      return `it is itself a backend of ${near.service}: whoever asks for it gets it without translation`
    case 'other-protocol':
      return `${near.service} has this address and port for ${near.protocol}`
    case 'other-ports':
      return `${near.service} has this address, with ${near.ports.join(', ')}`
    case 'other-address':
      return `${near.service} has this port at its ${near.frontend} ${near.address}`
    case 'pod':
      return `the address is that of pod ${near.pod}`
    case 'node':
      return 'the address is that of the node: services have its node ports there, and external and host ports'
  }
}

const WHERE: Readonly<Record<ClientOutcome['where'], string>> = {
  socket: 'in its socket, at connect and sendmsg',
  packet: "packet by packet, at the pod's device",
  device: "packet by packet, at the node's device",
}

const NOT_THERE: Readonly<Record<Exclude<WhyNot, 'NO_SERVICE'>, string>> = {
  IS_CLUSTER_IP:
    'a cluster IP is not there for clients outside (the annotation service.axoneme.io/reachable-from-outside opens it)',
  NOT_IN_SOURCE_RANGE: 'the client is in none of the loadBalancerSourceRanges',
  NODE_ONLY: 'a loopback address is there for processes of the node alone',
  NO_ADDRESS: 'the client has no address of this family',
  NO_SCTP: "sockets are translated for TCP and UDP alone, and the node's own processes have nothing else",
  NO_SOCKETS:
    "the agent has no cgroup to translate the node's sockets in (--service-cgroup), or a kernel before Linux 6.1",
}

const ITSELF = 'it may get itself: then it sees 169.254.42.1 or fd61:786f:6e65::1 as the client'

function outcomeText({ who, result, because, where, usable, sourceRange, mayBeItself, kind }: ClientOutcome): string {
  const title = pc.bold(`from ${who}:`)
  switch (result) {
    case 'translated': {
      const to = usable === 1 ? 'to the one backend that there is' : `to one of ${usable} backends`
      const facts = [
        `${WHERE[where]}, ${to}`,
        ...(sourceRange === undefined ? [] : [`let in by the source range ${sourceRange}`]),
        ...(mayBeItself ? [where === 'socket' ? 'it may get itself' : ITSELF] : []),
      ]
      return `${title} ${pc.green('translated')} ${facts.join('; ')}`
    }
    case 'rejected':
      return `${title} ${pc.red('rejected')}: no backend for it (NO_SERVICE); ${rejectionText(where)}`
    case 'dropped':
      return because === 'NO_SERVICE'
        ? `${title} ${pc.red('dropped')}: there are backends, but the ${kind === 'cluster' ? 'internal' : 'external'} traffic policy wants one of this node (NO_SERVICE)`
        : `${title} ${pc.red('dropped')}: ${becauseText(because)} (${because})`
    case 'untouched':
      return `${title} ${pc.yellow('not translated')}: ${becauseText(because)}`
  }
}

const becauseText = (because: WhyNot | undefined): string =>
  because === undefined || because === 'NO_SERVICE' ? '' : NOT_THERE[because]

const rejectionText = (where: ClientOutcome['where']): string =>
  where === 'socket'
    ? 'connect and sendmsg say ECONNREFUSED'
    : 'it is answered with a TCP reset, or for UDP with ICMP port unreachable'

const NOT_CHOSEN: Readonly<Record<NotChosen, string>> = {
  'not ready': 'it is not ready',
  terminating: 'it is terminating, and others are not',
  'not on this node': 'the traffic policy wants backends of this node',
  'meant for another zone': 'its hints name another zone',
  'meant for another node': 'its hints name another node',
  'weight 0': 'its weight is 0',
}

function backendsText(backends: readonly ServiceBackend[], clients: readonly ClientOutcome[]): string {
  const kinds = [...new Set(clients.map(({ kind }) => kind))]
  const titles = kinds.length === 1 ? ['USED'] : kinds.map(kind => `FOR ${kind.toUpperCase()}`)
  const used = (why: NotChosen | undefined): string =>
    why === undefined ? pc.green('yes') : pc.yellow(`no: ${NOT_CHOSEN[why]}`)
  return tableText(
    ['BACKEND', 'POD', 'NODE', 'ZONE', 'STATE', 'WEIGHT', ...titles],
    backends.map(backend => [...backendCells(backend), ...kinds.map(kind => used(notChosenOf(backend, kind)))]),
  )
}

function kernelLines({ state, differences, standing, affinity, connection }: KernelView): string[] {
  const head = {
    same: pc.green('the kernel has this'),
    absent: pc.red('THE KERNEL DOES NOT HAVE IT: nothing is translated at this address and port'),
    different: pc.red('THE KERNEL HAS IT OTHERWISE:'),
  }[state]
  return [
    head,
    ...(standing === undefined ? [] : [pc.yellow(`  the service is ${standing}`)]),
    ...differences.map(({ what, wanted, held }) => pc.red(`  ${what}: wanted ${wanted}, in the kernel ${held}`)),
    ...(affinity
      ? [
          `${affinity.client} had ${affinity.backend} ${affinity.usedSecondsAgo} s ago${affinity.isInForce ? ', and gets it again' : ', and gets another one now'}`,
        ]
      : []),
    ...(connection ? [connectionText(connection)] : []),
  ]
}

function connectionText(connection: LiveConnection): string {
  if (connection.kind === 'none') return `no connection from ${connection.source} to it is known`
  const { kind, source, backend, sourceAfter, isKnown, secondsLeft } = connection
  const where = kind === 'packet' ? 'packet by packet' : 'in the socket'
  return [
    `the connection from ${source} is translated ${where} to ${backend}`,
    ...(sourceAfter === source ? [] : [`which sees it come from ${sourceAfter}`]),
    `remembered for ${secondsLeft} s more`,
    ...(isKnown ? [] : [pc.yellow('the backend is in no service any more')]),
  ].join(', ')
}
