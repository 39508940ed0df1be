// What an agent is told at its start. Everything else it measures or has a constant
// for; a value that cannot be is refused here, with the option's name.

import path from 'node:path'
import { addressCount, formatIp, parseCidr, parseIp } from '../ip/index.ts'
import { type Redaction, RedactionError, readRedaction } from '../observe/index.ts'
import { ENFORCEMENT_MODES, type EnforcementMode } from '../policy/index.ts'
import { ConfigurationError } from './configuration-error.ts'
import { oneOf, type ServiceOptions, serviceSettings } from './service-configuration.ts'
import type { ServiceSettings } from './services.ts'

export type AgentConfiguration = {
  /** Name of the node, as the Node object has it. */
  readonly node: string
  /** Unix socket of the API. */
  readonly socket: string
  /** A folder in a bpffs for maps and links that outlive the agent. */
  readonly bpf: string
  /** Folder for what the agent must remember over a restart. */
  readonly state: string
  /** Folders and files with manifests. */
  readonly objects: readonly string[]
  /** At most one prefix of each family. */
  readonly podCidrs: readonly string[]
  /** This node's addresses, canonical; the first of each family is what it calls pods from. */
  readonly nodeAddresses: readonly string[]
  readonly mtu: number
  /** Names of the devices that outside clients come by; empty: those that hold the node's addresses. */
  readonly devices: readonly string[]
  /** Where services are translated before the kernel makes a buffer of a packet. */
  readonly xdp: XdpSetting
  /** Who is isolated where no policy says so. */
  readonly policyEnforcement: EnforcementMode
  /** Report flows. Off, only counters remain. */
  readonly flowEvents: boolean
  /** What of requests nobody is to read. */
  readonly redaction: Redaction
  /** Folder of the control group whose processes have services translated in their sockets; absent: no socket programs. */
  readonly serviceCgroup?: string
  /** Where the connections of pods that do not ask are translated. */
  readonly podTranslation: (typeof POD_TRANSLATIONS)[number]
  readonly services: ServiceSettings
  /** Unix socket of the node's proxy; absent: nobody judges what is said on connections, and such connections are refused. */
  readonly proxy?: string
  /** How long an answer of DNS holds at least, and how many addresses of one name are kept. */
  readonly names: { readonly minimumTtlSeconds: number; readonly addressesPerName: number }
}

export const XDP_SETTINGS = ['off', 'generic', 'native'] as const
export type XdpSetting = (typeof XDP_SETTINGS)[number]

export type AgentOptions = ServiceOptions & {
  readonly node: string
  readonly socket: string
  readonly bpf: string
  readonly state?: string
  readonly objects: readonly string[]
  readonly podCidr: readonly string[]
  readonly nodeAddress: readonly string[]
  readonly mtu?: number
  readonly device?: readonly string[]
  readonly xdp?: string
  readonly policyEnforcement?: string
  readonly flowEvents?: boolean
  readonly redact?: readonly string[]
  readonly podTranslation?: string
  readonly serviceCgroup?: string
  readonly proxy?: string
  readonly dnsMinimumTtl?: number
  readonly dnsAddressesPerName?: number
}

/** The first two addresses and the last one are never given out. */
const SMALLEST_RANGE = 4n

/** @throws ConfigurationError naming the option */
export function agentConfiguration(options: AgentOptions): AgentConfiguration {
  const families = new Set<number>()
  const podCidrs = options.podCidr.map(text => {
    const cidr = parseCidr(text)
    if (!cidr) throw new ConfigurationError(`--pod-cidr ${text} is not a prefix such as 10.244.0.0/24`)
    if (cidr.hadHostBits)
      throw new ConfigurationError(`--pod-cidr ${text} has bits behind its prefix; is ${cidr.text} meant?`)
    if (addressCount(cidr) < SMALLEST_RANGE) throw new ConfigurationError(`--pod-cidr ${text} has no address for a pod`)
    if (families.has(cidr.family))
      throw new ConfigurationError(`--pod-cidr ${text}: a node has one range of each family`)
    families.add(cidr.family)
    return cidr.text
  })
  if (podCidrs.length === 0) throw new ConfigurationError('--pod-cidr is needed: the range of pod addresses')
  const nodeAddresses = options.nodeAddress.map(text => {
    const address = parseIp(text)
    if (!address) throw new ConfigurationError(`--node-address ${text} is not an IP address`)
    return formatIp(address.bytes)
  })
  const mtu = options.mtu ?? 1500
  if (!Number.isInteger(mtu) || mtu < 1280 || mtu > 65535)
    throw new ConfigurationError(`--mtu ${mtu} is not between 1280 and 65535`)
  const devices = [...new Set(options.device ?? [])]
  for (const name of devices)
    if (!isDeviceName(name)) throw new ConfigurationError(`--device ${name} cannot be the name of a network device`)
  const xdp = oneOf('--xdp', XDP_SETTINGS, options.xdp ?? 'off')
  const policyEnforcement = oneOf('--policy-enforcement', ENFORCEMENT_MODES, options.policyEnforcement ?? 'default')
  return {
    node: options.node,
    socket: path.resolve(options.socket),
    bpf: path.resolve(options.bpf),
    state: path.resolve(options.state ?? path.dirname(options.socket)),
    objects: options.objects.map(folder => path.resolve(folder)),
    podCidrs,
    nodeAddresses,
    mtu,
    devices,
    xdp,
    podTranslation: oneOf('--pod-translation', POD_TRANSLATIONS, options.podTranslation ?? 'socket'),
    policyEnforcement,
    flowEvents: options.flowEvents ?? true,
    redaction: redactionOf(options.redact ?? []),
    ...(options.serviceCgroup !== undefined && { serviceCgroup: path.resolve(options.serviceCgroup) }),
    ...(options.proxy !== undefined && { proxy: path.resolve(options.proxy) }),
    names: {
      minimumTtlSeconds: numberBetween('--dns-minimum-ttl', options.dnsMinimumTtl ?? 0, 0, 86_400),
      addressesPerName: numberBetween('--dns-addresses-per-name', options.dnsAddressesPerName ?? 1000, 1, 10_000),
    },
    services: serviceSettings(options, nodeAddresses),
  }
}

function redactionOf(settings: readonly string[]): Redaction {
  try {
    return readRedaction(settings)
  } catch (error) {
    if (error instanceof RedactionError) throw new ConfigurationError(`--redact ${error.message}`)
    throw error
  }
}

function numberBetween(option: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new ConfigurationError(`${option} ${value} is not between ${least} and ${most}`)
}

const POD_TRANSLATIONS = ['socket', 'packet'] as const

/** As the kernel has it (dev_valid_name): up to 15 bytes, no slash, colon or space, neither `.` nor `..`. */
const isDeviceName = (name: string): boolean =>
  /^[^/:\s]+$/.test(name) && Buffer.byteLength(name) < 16 && name !== '.' && name !== '..'
