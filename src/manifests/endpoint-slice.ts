// EndpointSlices: the backends of a service, as the cluster's endpoint controller (or
// somebody by hand) says. discovery.k8s.io/v1. An address that cannot be a backend is
// left out with a warning, so that the others work. The older v1 Endpoints are not read:
// Kubernetes mirrors them into slices.

import * as z from 'zod'
import { type Family, formatIp, parseIp } from '../ip/index.ts'
import { describe } from './metadata.ts'
import { type ManifestObject, namespaceOf, type Path, type Problem } from './object.ts'
import type { TransportProtocol } from './pod.ts'
import { apiKind, apiObject, portNumber, servicePortName, transportProtocol } from './schema.ts'
import { specialAddress } from './special-address.ts'
import { conclude, problemOf, type Validation, validate } from './validate.ts'

export type SliceEndpoint = {
  /** Canonical, of the slice's family. Kubernetes gives those after the first no meaning. */
  readonly addresses: readonly string[]
  /** As they stand: what is left out means yes, yes and no. */
  readonly ready: boolean
  readonly serving: boolean
  readonly terminating: boolean
  readonly node?: string
  readonly zone?: string
  /** Zones and nodes that this endpoint is meant for; absent: no hint. */
  readonly forZones?: readonly string[]
  readonly forNodes?: readonly string[]
  /** `namespace/name` of the pod behind it. */
  readonly pod?: string
}

export type SlicePort = {
  readonly name: string
  readonly protocol: TransportProtocol
  /** Absent: all ports, which nothing can be translated to. */
  readonly port?: number
}

export type EndpointSliceManifest = {
  readonly namespace: string
  readonly name: string
  /** Of the label kubernetes.io/service-name; a slice without one is nobody's. */
  readonly service?: string
  readonly family: Family
  readonly ports: readonly SlicePort[]
  readonly endpoints: readonly SliceEndpoint[]
  /** Of the annotation service.axoneme.io/weight: share of each of its endpoints, 1 where it says nothing; 0: none. */
  readonly weight: number
}

const SERVICE_LABEL = 'kubernetes.io/service-name'
const WEIGHT_ANNOTATION = 'service.axoneme.io/weight'
/** Highest weight of an endpoint. */
const MAX_WEIGHT = 100

/** Reads an EndpointSlice. One of names (addressType FQDN) has no endpoints for anybody. */
export function readEndpointSlice(object: ManifestObject): Validation<EndpointSliceManifest> {
  const { value, problems } = validate(endpointSliceSchema, object)
  if (!value) return { problems }
  const found = [...problems]
  const report = (severity: Problem['severity'], path: Path, message: string): void =>
    void found.push(problemOf(object, severity, path, message))
  const namespace = namespaceOf(object)
  const service = object.metadata.labels[SERVICE_LABEL]
  const family: Family = value.addressType === 'IPv6' ? 6 : 4
  if (value.addressType === 'FQDN') report('warning', ['addressType'], FQDN)
  checkPorts(value.ports, report)
  const slice: EndpointSliceManifest = {
    namespace,
    name: object.metadata.name,
    ...(service && { service }),
    family,
    ports: value.ports,
    endpoints: value.addressType === 'FQDN' ? [] : readEndpoints(value.endpoints, { namespace, family, report }),
    weight: readWeight(object, report),
  }
  return conclude(slice, found)
}

type Report = (severity: Problem['severity'], path: Path, message: string) => void
type Place = { readonly namespace: string; readonly family: Family; readonly report: Report }

const FQDN = 'slices of DNS names are not used; write the addresses in a slice of IPv4 or IPv6'

function checkPorts(ports: readonly SlicePort[], report: Report): void {
  const names = new Set<string>()
  ports.forEach(({ name, port }, i) => {
    if (names.has(name)) report('error', ['ports', i, 'name'], `two ports are called "${name}"`)
    names.add(name)
    if (port === undefined)
      report('warning', ['ports', i], 'has no port number, which means all ports; nothing can be translated to it')
  })
}

function readEndpoints(endpoints: readonly WrittenEndpoint[], place: Place): SliceEndpoint[] {
  return endpoints.flatMap((endpoint, i) => {
    const { addresses: texts, conditions, nodeName, zone, hints, targetRef } = endpoint
    const path: Path = ['endpoints', i, 'addresses']
    const addresses = texts.flatMap((text, j) => readAddress(text, [...path, j], place))
    if (texts.length > 1)
      place.report(
        'warning',
        [...path, 1],
        'only the first address of an endpoint is used; write one endpoint for each',
      )
    if (addresses.length === 0) return []
    const pod = targetRef?.kind === 'Pod' ? targetRef.name : ''
    const read: SliceEndpoint = {
      addresses,
      ...conditions,
      ...(nodeName && { node: nodeName }),
      ...(zone && { zone }),
      ...(hints.forZones.length > 0 && { forZones: hints.forZones.map(({ name }) => name) }),
      ...(hints.forNodes.length > 0 && { forNodes: hints.forNodes.map(({ name }) => name) }),
      ...(pod && { pod: `${targetRef?.namespace || place.namespace}/${pod}` }),
    }
    return [read]
  })
}

function readAddress(text: string, path: Path, { family, report }: Place): string[] {
  const address = parseIp(text)
  const fault = !address
    ? 'is not an IP address'
    : address.family === family
      ? specialAddress(address)
      : `is not an IPv${family} address, as addressType says`
  if (address && fault === undefined) return [formatIp(address.bytes)]
  report('warning', path, `${fault}: ${describe(text)}; it is left out`)
  return []
}

function readWeight(object: ManifestObject, report: Report): number {
  const text = object.metadata.annotations[WEIGHT_ANNOTATION]
  if (text === undefined) return 1
  const weight = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN
  if (weight <= MAX_WEIGHT) return weight
  const message = `must be a whole number from 0 to ${MAX_WEIGHT}, got ${describe(text)}; 1 is used`
  report('warning', ['metadata', 'annotations', WEIGHT_ANNOTATION], message)
  return 1
}

const hintList = z.array(apiObject({ name: z.string() })).default([])

const endpoint = apiObject(
  {
    addresses: z.array(z.string()).min(1),
    conditions: apiObject({
      ready: z.boolean().default(true),
      serving: z.boolean().default(true),
      terminating: z.boolean().default(false),
    }).prefault({}),
    nodeName: z.string().exactOptional(),
    zone: z.string().exactOptional(),
    hints: apiObject({ forZones: hintList, forNodes: hintList }).prefault({}),
    targetRef: apiObject(
      { kind: z.string().exactOptional(), namespace: z.string().exactOptional(), name: z.string().exactOptional() },
      ['apiVersion', 'fieldPath', 'resourceVersion', 'uid'],
    ).exactOptional(),
  },
  ['deprecatedTopology', 'hostname'],
)
type WrittenEndpoint = z.output<typeof endpoint>

export const endpointSliceSchema = apiKind({
  addressType: z.enum(['IPv4', 'IPv6', 'FQDN']),
  endpoints: z.array(endpoint).default([]),
  ports: z
    .array(
      apiObject(
        {
          name: servicePortName.default(''),
          protocol: transportProtocol.default('TCP'),
          port: portNumber.exactOptional(),
        },
        ['appProtocol'],
      ),
    )
    .default([]),
})
