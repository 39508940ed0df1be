// What kube-proxy programs in its iptables mode, as input of iptables-restore: chains and rules as its proxier writes
// them (kubernetes/kubernetes, pkg/proxy/iptables, v1.33), without the features that no measured service uses. Pure.

import { createHash } from 'node:crypto'
import { type Endpoint, POD_CIDR, type ProxiedService } from './services.ts'

/** Beyond so many endpoints kube-proxy leaves comments out. */
const COMMENTED_ENDPOINTS = 1000
const MARK = '0x4000'

/** The chains that are there always, and the jumps to them from the kernel's. */
export function iptablesBase(): string {
  const jump = (chain: string, target: string, text: string, onlyNew = false): string =>
    `-A ${chain}${onlyNew ? ' -m conntrack --ctstate NEW' : ''} -m comment --comment "kubernetes ${text}" -j ${target}`
  const externally = 'externally-visible service portals'
  return lines([
    '*filter',
    ...['NODEPORTS', 'SERVICES', 'EXTERNAL-SERVICES', 'FIREWALL', 'FORWARD', 'PROXY-FIREWALL'].map(declare),
    jump('INPUT', 'KUBE-PROXY-FIREWALL', 'load balancer firewall', true),
    jump('INPUT', 'KUBE-NODEPORTS', 'health check service ports'),
    jump('INPUT', 'KUBE-EXTERNAL-SERVICES', externally, true),
    '-A INPUT -j KUBE-FIREWALL',
    jump('FORWARD', 'KUBE-PROXY-FIREWALL', 'load balancer firewall', true),
    jump('FORWARD', 'KUBE-FORWARD', 'forwarding rules'),
    jump('FORWARD', 'KUBE-SERVICES', 'service portals', true),
    jump('FORWARD', 'KUBE-EXTERNAL-SERVICES', externally, true),
    jump('OUTPUT', 'KUBE-PROXY-FIREWALL', 'load balancer firewall', true),
    jump('OUTPUT', 'KUBE-SERVICES', 'service portals', true),
    '-A OUTPUT -j KUBE-FIREWALL',
    '-A KUBE-FIREWALL -m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
    'COMMIT',
    '*nat',
    ...['SERVICES', 'POSTROUTING', 'NODEPORTS', 'MARK-MASQ'].map(declare),
    jump('PREROUTING', 'KUBE-SERVICES', 'service portals'),
    jump('OUTPUT', 'KUBE-SERVICES', 'service portals'),
    jump('POSTROUTING', 'KUBE-POSTROUTING', 'postrouting rules'),
    'COMMIT',
  ])
}

/**
 * One synchronization, for `iptables-restore --noflush`.
 * @param services all there are: the chains that dispatch are written anew every time
 * @param changed those whose own chains are written; all, the first time
 * @param gone chains of endpoints that are no longer
 */
export function iptablesSync(
  services: readonly ProxiedService[],
  changed: readonly ProxiedService[] = services,
  gone: readonly string[] = [],
): string {
  const endpoints = services.reduce((sum, service) => sum + service.endpoints.length, 0)
  const comment: Comment = endpoints > COMMENTED_ENDPOINTS ? () => '' : text => ` -m comment --comment "${text}"`
  return lines([
    '*filter',
    ...['NODEPORTS', 'SERVICES', 'EXTERNAL-SERVICES', 'PROXY-FIREWALL', 'FORWARD'].map(declare),
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
    `-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark ${MARK}/${MARK} -j ACCEPT`,
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    'COMMIT',
    '*nat',
    ...['SERVICES', 'POSTROUTING', 'NODEPORTS', 'MARK-MASQ'].map(declare),
    ...changed.flatMap(chainsOf).map(chain => `:${chain} - [0:0]`),
    ...gone.map(chain => `:${chain} - [0:0]`),
    `-A KUBE-POSTROUTING -m mark ! --mark ${MARK}/${MARK} -j RETURN`,
    `-A KUBE-POSTROUTING -j MARK --xor-mark ${MARK}`,
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    `-A KUBE-MARK-MASQ -j MARK --or-mark ${MARK}`,
    ...services.flatMap(service => dispatch(service, comment)),
    '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
    ...changed.flatMap(service => ownRules(service, comment)),
    ...gone.map(chain => `-X ${chain}`),
    'COMMIT',
  ])
}

type Comment = (text: string) => string

const lines = (all: readonly string[]): string => `${all.join('\n')}\n`
const declare = (chain: string): string => `:KUBE-${chain} - [0:0]`

function dispatch(service: ProxiedService, comment: Comment): string[] {
  const { clusterIp, port, nodePort, protocol } = service
  const name = portName(service)
  const match = `-m ${protocol} -p ${protocol}`
  return [
    `-A KUBE-SERVICES${comment(`${name} cluster IP`)} ${match} -d ${clusterIp} --dport ${port} -j ${serviceChain(service)}`,
    ...(nodePort === undefined
      ? []
      : [`-A KUBE-NODEPORTS${comment(name)} ${match} --dport ${nodePort} -j ${externalChain(service)}`]),
  ]
}

function ownRules(service: ProxiedService, comment: Comment): string[] {
  const { clusterIp, port, nodePort, protocol, endpoints } = service
  const name = portName(service)
  const chain = serviceChain(service)
  const match = `-m ${protocol} -p ${protocol}`
  return [
    ...(nodePort === undefined
      ? []
      : [
          `-A ${externalChain(service)}${comment(`masquerade traffic for ${name} external destinations`)} -j KUBE-MARK-MASQ`,
          `-A ${externalChain(service)} -j ${chain}`,
        ]),
    `-A ${chain}${comment(`${name} cluster IP`)} ${match} -d ${clusterIp} --dport ${port} ! -s ${POD_CIDR} -j KUBE-MARK-MASQ`,
    ...endpoints.map((endpoint, i) => {
      const left = endpoints.length - i
      const chance = left > 1 ? ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}` : ''
      const text = `${name} -> ${endpoint.address}:${endpoint.port}`
      return `-A ${chain}${comment(text)}${chance} -j ${endpointChain(service, endpoint)}`
    }),
    ...endpoints.flatMap(endpoint => [
      `-A ${endpointChain(service, endpoint)}${comment(name)} -s ${endpoint.address} -j KUBE-MARK-MASQ`,
      `-A ${endpointChain(service, endpoint)}${comment(name)} ${match} -j DNAT --to-destination ${endpoint.address}:${endpoint.port}`,
    ]),
  ]
}

function chainsOf(service: ProxiedService): string[] {
  return [
    serviceChain(service),
    ...(service.nodePort === undefined ? [] : [externalChain(service)]),
    ...service.endpoints.map(endpoint => endpointChain(service, endpoint)),
  ]
}

const portName = ({ namespace, name, portName }: ProxiedService): string => `${namespace}/${name}:${portName}`
const serviceChain = (service: ProxiedService): string => `KUBE-SVC-${hashed(portName(service) + service.protocol)}`
const externalChain = (service: ProxiedService): string => `KUBE-EXT-${hashed(portName(service) + service.protocol)}`

/** Of one endpoint of a service. */
export function endpointChain(service: ProxiedService, { address, port }: Endpoint): string {
  return `KUBE-SEP-${hashed(`${portName(service)}${service.protocol}${address}:${port}`)}`
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** The first 16 letters of the SHA-256 in base 32: chain names have room for 28. */
function hashed(text: string): string {
  const hash = createHash('sha256').update(text).digest().readBigUInt64BE(0)
  const rest = createHash('sha256').update(text).digest().readUInt16BE(8)
  const bits = (hash << 16n) | BigInt(rest)
  return Array.from({ length: 16 }, (_, i) => LETTERS[Number((bits >> BigInt(75 - 5 * i)) & 31n)]).join('')
}
