// What kube-proxy programs in its nftables mode, as input of `nft -f`: table, maps, chains and rules as its proxier
// writes them (kubernetes/kubernetes, pkg/proxy/nftables, v1.33), without the features that no measured service uses.
// Pure.

import { createHash } from 'node:crypto'
import { type Endpoint, POD_CIDR, type ProxiedService, SERVICE_CIDR } from './services.ts'

const MARK = '0x4000'

/** Table, hooks and maps, all empty. @param nodeAddress where node ports are */
export function nftablesBase(nodeAddress: string): string {
  const chain = (name: string, hook = ''): string => add('chain', hook ? `${name} { ${hook} ; }` : name)
  const hooked = (name: string, type: string, hook: string, priority: number): string =>
    chain(name, `type ${type} hook ${hook} priority ${priority}`)
  const map = (name: string, type: string): string => add('map', `${name} { type ${type} : verdict ; }`)
  const whole = 'ipv4_addr . inet_proto . inet_service'
  return lines([
    'add table ip kube-proxy { comment "rules for kube-proxy" ; }',
    hooked('filter-prerouting', 'filter', 'prerouting', -110),
    hooked('filter-input', 'filter', 'input', -110),
    hooked('filter-forward', 'filter', 'forward', -110),
    hooked('filter-output', 'filter', 'output', -110),
    hooked('filter-output-post-dnat', 'filter', 'output', -90),
    hooked('nat-prerouting', 'nat', 'prerouting', -100),
    hooked('nat-output', 'nat', 'output', -100),
    hooked('nat-postrouting', 'nat', 'postrouting', 100),
    ...ORDINARY_CHAINS.map(name => chain(name)),
    add('set', 'cluster-ips { type ipv4_addr ; }'),
    add('set', 'nodeport-ips { type ipv4_addr ; }'),
    map('no-endpoint-services', whole),
    map('no-endpoint-nodeports', 'inet_proto . inet_service'),
    map('firewall-ips', whole),
    map('service-ips', whole),
    map('service-nodeports', 'inet_proto . inet_service'),
    add('element', `nodeport-ips { ${nodeAddress} }`),
    ...JUMPS.map(([from, to, when]) => rule(from, `${when}jump ${to}`)),
    rule('mark-for-masquerade', `mark set mark or ${MARK}`),
    rule('masquerading', `mark and ${MARK} == 0 return`),
    rule('masquerading', `mark set mark xor ${MARK}`),
    rule('masquerading', 'masquerade fully-random'),
    rule('cluster-ips-check', 'ip daddr @cluster-ips reject'),
    rule('cluster-ips-check', `ip daddr { ${SERVICE_CIDR} } drop`),
    rule('reject-chain', 'reject'),
    rule('service-endpoints-check', 'ip daddr . meta l4proto . th dport vmap @no-endpoint-services'),
    rule('nodeport-endpoints-check', 'ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports'),
    rule('firewall-check', 'ip daddr . meta l4proto . th dport vmap @firewall-ips'),
    rule('services', 'ip daddr . meta l4proto . th dport vmap @service-ips'),
    rule('services', 'ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports'),
  ])
}

const ORDINARY_CHAINS = [
  'nodeport-endpoints-check',
  'service-endpoints-check',
  'firewall-check',
  'services',
  'masquerading',
  'cluster-ips-check',
  'mark-for-masquerade',
  'reject-chain',
]

const NEW = 'ct state new '
const JUMPS = [
  ['filter-input', 'nodeport-endpoints-check', NEW],
  ['filter-input', 'service-endpoints-check', NEW],
  ['filter-forward', 'service-endpoints-check', NEW],
  ['filter-output', 'service-endpoints-check', NEW],
  ['filter-prerouting', 'firewall-check', NEW],
  ['filter-output', 'firewall-check', NEW],
  ['nat-output', 'services', ''],
  ['nat-prerouting', 'services', ''],
  ['nat-postrouting', 'masquerading', ''],
  ['filter-forward', 'cluster-ips-check', NEW],
  ['filter-output-post-dnat', 'cluster-ips-check', NEW],
] as const

/** What adds services, or writes the chains of services anew that are there: only what concerns them. */
export function nftablesSync(
  services: readonly ProxiedService[],
  gone: readonly { readonly service: ProxiedService; readonly endpoint: Endpoint }[] = [],
): string {
  return lines([
    ...services.flatMap(ownRules),
    ...services.flatMap(elements),
    // kube-proxy deletes chains a second later, when no packet can be in them; here at once, which is no dearer.
    ...gone.map(({ service, endpoint }) => `delete chain ip kube-proxy ${endpointChain(service, endpoint)}`),
  ])
}

const lines = (all: readonly string[]): string => `${all.join('\n')}\n`
const add = (what: string, text: string): string => `add ${what} ip kube-proxy ${text}`
const rule = (chain: string, text: string): string => add('rule', `${chain} ${text}`)
const anew = (chain: string): string[] => [add('chain', chain), `flush chain ip kube-proxy ${chain}`]

function ownRules(service: ProxiedService): string[] {
  const { clusterIp, protocol, nodePort, endpoints } = service
  const chain = serviceChain(service)
  const external = externalChain(service)
  const chains = endpoints.map(endpoint => endpointChain(service, endpoint))
  const choices = chains.map((name, i) => `${i} : goto ${name}`).join(' , ')
  return [
    ...[...chains, chain].flatMap(anew),
    ...(nodePort === undefined
      ? []
      : [...anew(external), rule(external, 'jump mark-for-masquerade'), rule(external, `goto ${chain}`)]),
    rule(chain, `ip daddr ${clusterIp} ip saddr != ${POD_CIDR} jump mark-for-masquerade`),
    rule(chain, `numgen random mod ${endpoints.length} vmap { ${choices} }`),
    ...endpoints.flatMap(({ address, port }, i) => [
      rule(chains[i] ?? '', `ip saddr ${address} jump mark-for-masquerade`),
      rule(chains[i] ?? '', `meta l4proto ${protocol} dnat to ${address}:${port}`),
    ]),
  ]
}

function elements(service: ProxiedService): string[] {
  const { clusterIp, protocol, port, nodePort } = service
  return [
    add('element', `cluster-ips { ${clusterIp} }`),
    add('element', `service-ips { ${clusterIp} . ${protocol} . ${port} : goto ${serviceChain(service)} }`),
    ...(nodePort === undefined
      ? []
      : [add('element', `service-nodeports { ${protocol} . ${nodePort} : goto ${externalChain(service)} }`)]),
  ]
}

const baseName = ({ namespace, name, protocol, portName }: ProxiedService): string =>
  `${namespace}/${name}/${protocol}/${portName}`
const serviceChain = (service: ProxiedService): string => `service-${hashed(baseName(service))}`
const externalChain = (service: ProxiedService): string => `external-${hashed(baseName(service))}`
const endpointChain = (service: ProxiedService, { address, port }: Endpoint): string =>
  `endpoint-${hashed(`${baseName(service)}__${address}/${port}`)}`

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** The name behind the first 8 letters of its SHA-256 in base 32. */
function hashed(name: string): string {
  const bits = createHash('sha256').update(name).digest().readBigUInt64BE(0) >> 24n
  const letters = Array.from({ length: 8 }, (_, i) => LETTERS[Number((bits >> BigInt(35 - 5 * i)) & 31n)])
  return `${letters.join('')}-${name}`
}
