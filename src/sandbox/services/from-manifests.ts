// What a sandbox would make of the Services among some manifests, without one: the same addresses and ports, and EndpointSlices
// with every pod ready. Slices that the manifests have themselves stand in the place of those. Pure.

import {
  apiGroup,
  type EndpointSliceManifest,
  type ManifestObject,
  namespaceOf,
  type Problem,
  readEndpointSlice,
  readService,
  type ServiceManifest,
} from '../../manifests/index.ts'
import { ServiceAdmission } from './admission.ts'
import { isService, readDeclaredService } from './declared.ts'
import { type BackendPod, type EndpointSlice, slicesOf } from './slices.ts'

export type ServicesOfManifests = {
  readonly services: readonly ServiceManifest[]
  readonly slices: readonly EndpointSliceManifest[]
  readonly problems: readonly Problem[]
}

/** A pod that runs and is ready. */
export type ReadyPod = Pick<BackendPod, 'namespace' | 'name' | 'labels' | 'node' | 'zone' | 'addresses' | 'namedPorts'>

export function servicesOfManifests(
  objects: readonly ManifestObject[],
  pods: readonly ReadyPod[],
): ServicesOfManifests {
  const problems: Problem[] = []
  const services: ServiceManifest[] = []
  const slices = objects
    .filter(({ apiVersion, kind }) => kind === 'EndpointSlice' && apiGroup(apiVersion) === 'discovery.k8s.io')
    .flatMap(object => read(readEndpointSlice(object), problems))
  const sliced = new Set(slices.map(({ namespace, service }) => `${namespace}/${service}`))
  const backends = pods.map(pod => ({ ...pod, ready: true, terminating: false, over: false }))
  const admission = new ServiceAdmission()
  for (const object of objects.filter(isService)) {
    const { admitted, problems: refusals } = admission.admit(object)
    problems.push(...refusals)
    if (!admitted) continue
    const content = { ...object, content: admitted.content }
    const [service] = read(readService(content), problems)
    if (!service) continue
    services.push(service)
    if (!sliced.has(`${service.namespace}/${service.name}`))
      slices.push(...ownSlices(content, backends).flatMap(slice => read(readEndpointSlice(slice), problems)))
  }
  return { services, slices, problems }
}

function read<Value>(
  { value, problems: found }: { readonly value?: Value; readonly problems: readonly Problem[] },
  problems: Problem[],
): Value[] {
  problems.push(...found)
  return value === undefined ? [] : [value]
}

/** @param service with what it was given */
function ownSlices(service: ManifestObject, pods: readonly BackendPod[]): ManifestObject[] {
  const { name, labels } = service.metadata
  const namespace = namespaceOf(service)
  const { spec } = readDeclaredService(service).service ?? {}
  if (!spec) return []
  const sliced = { namespace, name, labels, spec, families: spec.ipFamilies }
  return slicesOf(sliced, pods, []).map(slice => objectOf(slice, service))
}

const objectOf = (slice: EndpointSlice, { origin, source, position }: ManifestObject): ManifestObject => ({
  apiVersion: slice.apiVersion,
  kind: slice.kind,
  metadata: { ...slice.metadata, annotations: {} },
  content: slice,
  origin,
  source,
  position,
})
