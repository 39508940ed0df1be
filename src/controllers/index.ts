// Controllers: watch tables, call the pure parts, write tables.

export * from './address-pool.ts'
export * from './identities.ts'
export * from './intent.ts'
export * from './memory.ts'
export { followNodeDevices } from './node-devices.ts'
export * from './pod-namespaces.ts'
export * from './policies.ts'
export * from './policy-status.ts'
export { policyStatusView } from './policy-status-view.ts'
export { readIntent } from './read-intent.ts'
export * from './service-since.ts'
export { type ServicesInKernel, serviceDetail, serviceStatusView } from './service-status-view.ts'
