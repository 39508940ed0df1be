// Reconcilers' operations: the only writers of kernel state.

export { type Attacher, clsactAttacher, type Programs, type TcxOptions, tcxAttacher } from './attachments.ts'
export * from './endpoint-devices.ts'
export { healthServerOperations } from './health-servers.ts'
export * from './map-entries.ts'
export { nodeDeviceOperations, type XdpMode } from './node-devices.ts'
export * from './pod-network.ts'
export * from './policy-maps.ts'
export { proxyRuleSetOperations, type RuleSetProxy } from './proxy-rule-sets.ts'
export type { NewSlotPage, OpenSlotPage, ServiceMaps } from './service-content.ts'
export { serviceMapOperations } from './service-maps.ts'
export * from './socket-attachments.ts'
export * from './stale-sockets.ts'
