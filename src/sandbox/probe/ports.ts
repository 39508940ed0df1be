// What to probe: `80/TCP`, `81/UDP`, `132/SCTP`, a bare number (TCP), or the name of a container port (TCP unless it
// says otherwise), which can mean another number in every pod. The same as `policy reach` takes. Pure.

import { SandboxError } from '../errors.ts'
import type { PodManifest } from '../pods/manifest.ts'

export type Protocol = 'TCP' | 'UDP' | 'SCTP'

export type PortRequest = { readonly protocol: Protocol } & ({ readonly number: number } | { readonly name: string })

export type Port = { readonly number: number; readonly protocol: Protocol }

const NAME = /^[a-z0-9](?:[-a-z0-9]{0,13}[a-z0-9])?$/
const MAX_REQUESTS = 64

/** @param text comma-separated @throws SandboxError `invalid` */
export function parsePorts(text: string): PortRequest[] {
  const parts = text
    .split(',')
    .map(part => part.trim())
    .filter(Boolean)
  if (parts.length === 0) throw new SandboxError('invalid', 'no port to probe: give some, such as 80/TCP,81/UDP,http')
  if (parts.length > MAX_REQUESTS)
    throw new SandboxError('invalid', `at most ${MAX_REQUESTS} ports can be probed at once`)
  return parts.map(parsePort)
}

function parsePort(text: string): PortRequest {
  const [port = '', protocolText = 'TCP', ...more] = text.split('/')
  const wrong = (why: string) => new SandboxError('invalid', `port '${text}': ${why}`)
  if (more.length > 0) throw wrong('more than one /')
  const protocol = protocolText.toUpperCase()
  if (!isProtocol(protocol)) throw wrong('the protocol is one of TCP, UDP, SCTP')
  if (/^\d+$/.test(port)) {
    const number = Number(port)
    if (number < 1 || number > 65535) throw wrong('ports go from 1 to 65535')
    return { number, protocol }
  }
  if (!NAME.test(port)) throw wrong('neither a number nor the name of a port')
  return { name: port, protocol }
}

const isProtocol = (text: string): text is Protocol => text === 'TCP' || text === 'UDP' || text === 'SCTP'

/** @returns undefined when the pod has no port of that name */
export function resolvePort(request: PortRequest, pod: Pick<PodManifest, 'namedPorts'>): Port | undefined {
  if ('number' in request) return request
  const { name, protocol } = request
  const found = pod.namedPorts.find(port => port.name === name && port.protocol === protocol)
  return found && { number: found.port, protocol }
}
