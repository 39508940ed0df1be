// The layouts of the datapath's maps, one file for each header of bpf/lib, and the
// datapath with its maps typed by them. C declares, BTF carries, these files check.

export * from './address.ts'
export * from './conntrack.ts'
export * from './datapath.ts'
export * from './endpoint.ts'
export * from './event.ts'
export * from './fragment.ts'
export * from './ipcache.ts'
export type { EnumTable } from './layout.ts'
export * from './packet.ts'
export * from './policy.ts'
export type { Schema } from './schema.ts'
export * from './service.ts'
export * from './socket.ts'
export * from './socket-programs.ts'
export * from './translation.ts'
export * from './verdict.ts'
