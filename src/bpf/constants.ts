// Numbers of the kernel's BPF interface under the names that bpftool prints.
// Source: include/uapi/linux/bpf.h. The values are ABI and never change.

export const MAP_TYPE = {
  hash: 1,
  array: 2,
  prog_array: 3,
  perf_event_array: 4,
  percpu_hash: 5,
  percpu_array: 6,
  stack_trace: 7,
  cgroup_array: 8,
  lru_hash: 9,
  lru_percpu_hash: 10,
  lpm_trie: 11,
  array_of_maps: 12,
  hash_of_maps: 13,
  devmap: 14,
  sockmap: 15,
  cpumap: 16,
  xskmap: 17,
  sockhash: 18,
  cgroup_storage: 19,
  reuseport_sockarray: 20,
  percpu_cgroup_storage: 21,
  queue: 22,
  stack: 23,
  sk_storage: 24,
  devmap_hash: 25,
  struct_ops: 26,
  ringbuf: 27,
  inode_storage: 28,
  task_storage: 29,
  bloom_filter: 30,
  user_ringbuf: 31,
  cgrp_storage: 32,
} as const
export type MapType = keyof typeof MAP_TYPE

export const PROGRAM_TYPE = {
  socket_filter: 1,
  sched_cls: 3,
  sched_act: 4,
  xdp: 6,
  cgroup_skb: 8,
  cgroup_sock: 9,
  sock_ops: 13,
  sk_skb: 14,
  cgroup_device: 15,
  sk_msg: 16,
  cgroup_sock_addr: 18,
  sk_reuseport: 21,
  flow_dissector: 22,
  cgroup_sysctl: 23,
  cgroup_sockopt: 25,
  sk_lookup: 30,
  syscall: 31,
} as const
export type ProgramType = keyof typeof PROGRAM_TYPE

export const ATTACH_TYPE = {
  cgroup_inet_ingress: 0,
  cgroup_inet_egress: 1,
  cgroup_inet_sock_create: 2,
  cgroup_sock_ops: 3,
  sk_skb_stream_parser: 4,
  sk_skb_stream_verdict: 5,
  cgroup_device: 6,
  sk_msg_verdict: 7,
  cgroup_inet4_bind: 8,
  cgroup_inet6_bind: 9,
  cgroup_inet4_connect: 10,
  cgroup_inet6_connect: 11,
  cgroup_inet4_post_bind: 12,
  cgroup_inet6_post_bind: 13,
  cgroup_udp4_sendmsg: 14,
  cgroup_udp6_sendmsg: 15,
  cgroup_sysctl: 18,
  cgroup_udp4_recvmsg: 19,
  cgroup_udp6_recvmsg: 20,
  cgroup_getsockopt: 21,
  cgroup_setsockopt: 22,
  cgroup_inet4_getpeername: 29,
  cgroup_inet6_getpeername: 30,
  cgroup_inet4_getsockname: 31,
  cgroup_inet6_getsockname: 32,
  cgroup_inet_sock_release: 34,
  sk_lookup: 36,
  xdp: 37,
  sk_skb_verdict: 38,
  tcx_ingress: 46,
  tcx_egress: 47,
  netkit_primary: 54,
  netkit_peer: 55,
} as const
export type AttachType = keyof typeof ATTACH_TYPE

export const LINK_TYPE = {
  raw_tracepoint: 1,
  tracing: 2,
  cgroup: 3,
  iter: 4,
  netns: 5,
  xdp: 6,
  perf_event: 7,
  kprobe_multi: 8,
  struct_ops: 9,
  netfilter: 10,
  tcx: 11,
  uprobe_multi: 12,
  netkit: 13,
} as const
export type LinkType = keyof typeof LINK_TYPE

/** `map_flags` of a map's creation. */
export const MAP_FLAG = {
  NO_PREALLOC: 1,
  NO_COMMON_LRU: 2,
  RDONLY: 1 << 3,
  WRONLY: 1 << 4,
  RDONLY_PROG: 1 << 7,
  WRONLY_PROG: 1 << 8,
  MMAPABLE: 1 << 10,
  INNER_MAP: 1 << 12,
} as const

/** `prog_flags` of a program's load. */
export const PROGRAM_FLAG = { SLEEPABLE: 1 << 4, XDP_HAS_FRAGS: 1 << 5 } as const

/** Which per-CPU layout and what kind of key a map type has; the rest is the kernel's business. */
export const isPerCpu = (type: MapType): boolean =>
  type === 'percpu_hash' || type === 'percpu_array' || type === 'lru_percpu_hash' || type === 'percpu_cgroup_storage'

export const isMapOfMaps = (type: MapType): boolean => type === 'array_of_maps' || type === 'hash_of_maps'

/** Maps whose key is an index below max_entries. */
export const isIndexed = (type: MapType): boolean =>
  type === 'array' || type === 'percpu_array' || type === 'prog_array' || type === 'array_of_maps'

const reverse = <Name extends string>(table: Readonly<Record<Name, number>>): ReadonlyMap<number, Name> =>
  new Map((Object.entries(table) as [Name, number][]).map(([name, number]) => [number, name]))

const mapTypes = reverse(MAP_TYPE)
const programTypes = reverse(PROGRAM_TYPE)
const attachTypes = reverse(ATTACH_TYPE)
const linkTypes = reverse(LINK_TYPE)

export const mapTypeName = (number: number): MapType | undefined => mapTypes.get(number)
export const programTypeName = (number: number): ProgramType | undefined => programTypes.get(number)
export const attachTypeName = (number: number): AttachType | undefined => attachTypes.get(number)
export const linkTypeName = (number: number): LinkType | undefined => linkTypes.get(number)
