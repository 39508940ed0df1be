// The annotation by which a pod has what is said on its ports shown, without anything
// being denied for it: `<Egress/53/UDP/DNS>,<Ingress/80/TCP/HTTP>`. The form is that of
// Cilium's annotation, which is read too.

import { PROTOCOLS } from '../../labels/index.ts'
import { type ManifestObject, type Problem, problemOf } from '../../manifests/index.ts'
import type { L7Parser, Visibility } from '../model/l7.ts'
import type { Direction } from '../model/rule.ts'

const ANNOTATIONS = ['policy.axoneme.io/visibility', 'policy.cilium.io/proxy-visibility'] as const

/** More than any pod has ports worth looking at. */
const MOST_PORTS = 64

const DIRECTIONS: ReadonlyMap<string, Direction> = new Map([
  ['ingress', 'ingress'],
  ['egress', 'egress'],
])
const TRANSPORTS: ReadonlyMap<string, readonly number[]> = new Map([
  ['tcp', [PROTOCOLS.TCP]],
  ['udp', [PROTOCOLS.UDP]],
  ['any', [PROTOCOLS.TCP, PROTOCOLS.UDP]],
])
/** What each language is spoken over. */
const PARSERS: ReadonlyMap<string, { readonly parser: L7Parser; readonly over: readonly number[] }> = new Map([
  ['http', { parser: 'http', over: [PROTOCOLS.TCP] }],
  ['kafka', { parser: 'kafka', over: [PROTOCOLS.TCP] }],
  ['tls', { parser: 'tls', over: [PROTOCOLS.TCP] }],
  ['dns', { parser: 'dns', over: [PROTOCOLS.TCP, PROTOCOLS.UDP] }],
])

/** What a Pod asks for. What cannot be is told in a warning, and all else of it counts. */
export function readVisibility(object: ManifestObject): {
  readonly visibility: readonly Visibility[]
  readonly problems: readonly Problem[]
} {
  const visibility: Visibility[] = []
  const problems: Problem[] = []
  for (const annotation of ANNOTATIONS) {
    const text = object.metadata.annotations[annotation]
    if (text === undefined || text.trim() === '') continue
    const warn = (message: string): void => {
      problems.push(problemOf(object, 'warning', ['metadata', 'annotations', annotation], message))
    }
    for (const item of text.split(',')) {
      const read = readItem(item.trim())
      if (typeof read === 'string') warn(`${JSON.stringify(item.trim())} is passed over: ${read}`)
      else for (const port of read) addPort(visibility, port, warn)
    }
  }
  return { visibility, problems }
}

/** Visible ports, one for each transport, or why not. */
function readItem(text: string): readonly Visibility[] | string {
  const [, inside] = /^<([^<>]*)>$/.exec(text) ?? []
  const parts = inside?.split('/').map(part => part.trim()) ?? []
  if (parts.length !== 4) return 'it is not <DIRECTION/PORT/PROTOCOL/LANGUAGE>, such as <Ingress/80/TCP/HTTP>'
  const [directionText = '', portText = '', transport = '', language = ''] = parts
  const direction = DIRECTIONS.get(directionText.toLowerCase())
  if (!direction) return `${directionText} is neither Ingress nor Egress`
  const port = Number(portText)
  if (!/^\d{1,5}$/.test(portText) || port < 1 || port > 65535) return `port ${portText} is not 1 to 65535`
  const protocols = TRANSPORTS.get(transport.toLowerCase())
  if (!protocols) return `${transport} is not TCP, UDP or ANY`
  const spoken = PARSERS.get(language.toLowerCase())
  if (!spoken) return `${language} is not HTTP, DNS, Kafka or TLS`
  const over = protocols.filter(protocol => spoken.over.includes(protocol))
  if (over.length === 0) return `${language} is not spoken over ${transport}`
  return over.map(protocol => ({ direction, protocol, port, parser: spoken.parser }))
}

function addPort(visibility: Visibility[], wanted: Visibility, warn: (message: string) => void): void {
  const same = visibility.find(
    ({ direction, protocol, port }) =>
      direction === wanted.direction && protocol === wanted.protocol && port === wanted.port,
  )
  if (same?.parser === wanted.parser) return
  if (same)
    warn(`${wanted.direction} port ${wanted.port} is taken for ${same.parser} already, not for ${wanted.parser} too`)
  else if (visibility.length >= MOST_PORTS)
    warn(`names more than ${MOST_PORTS} ports; those after them are passed over`)
  else visibility.push(wanted)
}
