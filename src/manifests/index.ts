// Manifests: YAML text to checked objects with positions. Pure and browser-safe.

export {
  type EndpointSliceManifest,
  readEndpointSlice,
  type SliceEndpoint,
  type SlicePort,
} from './endpoint-slice.ts'
export * from './names.ts'
export { type NamespaceManifest, readNamespace } from './namespace.ts'
export { type NodeManifest, readNode } from './node.ts'
export * from './object.ts'
export { compareText } from './order.ts'
export * from './origin.ts'
export * from './parse.ts'
export {
  type Container,
  type ContainerPort,
  type HostPort,
  type PodManifest,
  readPod,
  type TransportProtocol,
} from './pod.ts'
export * from './schema.ts'
export { readSecret, type SecretManifest } from './secret.ts'
export { type LoadBalancerAddress, readService, type ServiceManifest, type ServicePort } from './service.ts'
export { suggestion } from './spelling.ts'
export { MAX_PROBLEMS_OF_OBJECT, problemOf, UNKNOWN_FIELD_EFFECT, type Validation, validate } from './validate.ts'
