// The services that contestants are loaded with: a plain form that the rules of kube-proxy and the objects for an agent
// are both written from. Pure.

export type Endpoint = { readonly address: string; readonly port: number }

/** One port of one service, IPv4. */
export type ProxiedService = {
  readonly namespace: string
  readonly name: string
  readonly portName: string
  readonly protocol: 'tcp' | 'udp'
  readonly clusterIp: string
  readonly port: number
  readonly nodePort?: number
  readonly endpoints: readonly Endpoint[]
}

export const SERVICE_CIDR = '10.96.0.0/12'
export const POD_CIDR = '10.128.0.0/9'
const FIRST_CLUSTER_IP = 0x0a61_0000
const FIRST_ENDPOINT = 0x0ac0_0000
const ENDPOINTS_EACH = 4

type AskedEndpoints = {
  readonly endpoints: readonly Endpoint[]
  readonly echo: Endpoint
  /** On a machine that is not the node. */
  readonly elsewhere: Endpoint
}

/**
 * Those that are asked: one by TCP, one by UDP, both with a node port; the same two with a backend on another machine;
 * and one whose backend is always the same.
 */
export function askedServices({ endpoints, echo, elsewhere }: AskedEndpoints) {
  const common = { namespace: 'bench', endpoints }
  const tcp = { ...common, portName: 'http', protocol: 'tcp', port: 80 } as const
  const udp = { ...common, portName: 'dns', protocol: 'udp', port: 53 } as const
  const far = [elsewhere]
  return {
    web: { ...tcp, name: 'web', clusterIp: '10.96.1.1', nodePort: 30080 },
    names: { ...udp, name: 'names', clusterIp: '10.96.1.2', nodePort: 30053 },
    farWeb: { ...tcp, name: 'far-web', clusterIp: '10.96.1.5', nodePort: 30081, endpoints: far },
    farNames: { ...udp, name: 'far-names', clusterIp: '10.96.1.6', nodePort: 30054, endpoints: far },
    echo: { ...tcp, name: 'echo', clusterIp: '10.96.1.3', port: 7, endpoints: [echo] },
  } as const satisfies Readonly<Record<string, ProxiedService>>
}

export const clusterAddress = ({ clusterIp, port }: ProxiedService): Endpoint => ({ address: clusterIp, port })

/** Services that nobody asks for, each with four endpoints of its own; the same objects every time. */
const others: ProxiedService[] = []

function otherService(i: number): ProxiedService {
  return {
    namespace: `team-${i % 100}`,
    name: `service-${i}`,
    portName: 'http',
    protocol: 'tcp',
    clusterIp: dotted(FIRST_CLUSTER_IP + i),
    port: 80,
    endpoints: Array.from({ length: ENDPOINTS_EACH }, (_, j) => ({
      address: dotted(FIRST_ENDPOINT + i * ENDPOINTS_EACH + j),
      port: 8080,
    })),
  }
}

/**
 * `count` services in all, with the given ones in the middle: rules that are looked at one after the other cost as much
 * as they do on average.
 */
export function amongOthers(count: number, given: readonly ProxiedService[]): ProxiedService[] {
  while (others.length < count) others.push(otherService(others.length))
  const chosen = others.slice(0, Math.max(0, count - given.length))
  const middle = chosen.length >> 1
  return [...chosen.slice(0, middle), ...given, ...chosen.slice(middle)]
}

function dotted(number: number): string {
  return [number >>> 24, (number >> 16) & 255, (number >> 8) & 255, number & 255].join('.')
}
