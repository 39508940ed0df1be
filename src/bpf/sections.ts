// What the name of an ELF section says about the programs in it: type, attach
// type, load flags. One table; the names are those that libbpf documents.
// Source: Documentation/bpf/libbpf/program_types.rst of Linux.

import { type AttachType, PROGRAM_FLAG, type ProgramType } from './constants.ts'

export type SectionKind = {
  readonly type: ProgramType
  readonly attachType?: AttachType
  /** The kernel wants the attach type already when the program is loaded. */
  readonly expectsAttachType: boolean
  /** `prog_flags`. */
  readonly flags: number
}

const early = (type: ProgramType, attachType: AttachType, flags = 0): SectionKind => ({
  type,
  attachType,
  expectsAttachType: true,
  flags,
})
const late = (type: ProgramType, attachType?: AttachType, flags = 0): SectionKind => ({
  type,
  ...(attachType === undefined ? {} : { attachType }),
  expectsAttachType: false,
  flags,
})

const KINDS: Readonly<Record<string, SectionKind>> = {
  tc: late('sched_cls'),
  classifier: late('sched_cls'),
  action: late('sched_act'),
  'tc/ingress': late('sched_cls', 'tcx_ingress'),
  'tc/egress': late('sched_cls', 'tcx_egress'),
  'tcx/ingress': late('sched_cls', 'tcx_ingress'),
  'tcx/egress': late('sched_cls', 'tcx_egress'),
  'netkit/primary': late('sched_cls', 'netkit_primary'),
  'netkit/peer': late('sched_cls', 'netkit_peer'),
  xdp: early('xdp', 'xdp'),
  'xdp.frags': early('xdp', 'xdp', PROGRAM_FLAG.XDP_HAS_FRAGS),
  'cgroup_skb/ingress': early('cgroup_skb', 'cgroup_inet_ingress'),
  'cgroup_skb/egress': early('cgroup_skb', 'cgroup_inet_egress'),
  'cgroup/skb': late('cgroup_skb'),
  'cgroup/sock': early('cgroup_sock', 'cgroup_inet_sock_create'),
  'cgroup/sock_create': early('cgroup_sock', 'cgroup_inet_sock_create'),
  'cgroup/sock_release': early('cgroup_sock', 'cgroup_inet_sock_release'),
  'cgroup/post_bind4': early('cgroup_sock', 'cgroup_inet4_post_bind'),
  'cgroup/post_bind6': early('cgroup_sock', 'cgroup_inet6_post_bind'),
  'cgroup/bind4': early('cgroup_sock_addr', 'cgroup_inet4_bind'),
  'cgroup/bind6': early('cgroup_sock_addr', 'cgroup_inet6_bind'),
  'cgroup/connect4': early('cgroup_sock_addr', 'cgroup_inet4_connect'),
  'cgroup/connect6': early('cgroup_sock_addr', 'cgroup_inet6_connect'),
  'cgroup/sendmsg4': early('cgroup_sock_addr', 'cgroup_udp4_sendmsg'),
  'cgroup/sendmsg6': early('cgroup_sock_addr', 'cgroup_udp6_sendmsg'),
  'cgroup/recvmsg4': early('cgroup_sock_addr', 'cgroup_udp4_recvmsg'),
  'cgroup/recvmsg6': early('cgroup_sock_addr', 'cgroup_udp6_recvmsg'),
  'cgroup/getpeername4': early('cgroup_sock_addr', 'cgroup_inet4_getpeername'),
  'cgroup/getpeername6': early('cgroup_sock_addr', 'cgroup_inet6_getpeername'),
  'cgroup/getsockname4': early('cgroup_sock_addr', 'cgroup_inet4_getsockname'),
  'cgroup/getsockname6': early('cgroup_sock_addr', 'cgroup_inet6_getsockname'),
  'cgroup/getsockopt': early('cgroup_sockopt', 'cgroup_getsockopt'),
  'cgroup/setsockopt': early('cgroup_sockopt', 'cgroup_setsockopt'),
  'cgroup/sysctl': early('cgroup_sysctl', 'cgroup_sysctl'),
  'cgroup/dev': early('cgroup_device', 'cgroup_device'),
  sockops: early('sock_ops', 'cgroup_sock_ops'),
  sk_lookup: early('sk_lookup', 'sk_lookup'),
  sk_msg: early('sk_msg', 'sk_msg_verdict'),
  'sk_skb/stream_parser': late('sk_skb', 'sk_skb_stream_parser'),
  'sk_skb/stream_verdict': late('sk_skb', 'sk_skb_stream_verdict'),
  sk_skb: late('sk_skb'),
  socket: late('socket_filter'),
  flow_dissector: late('flow_dissector'),
  syscall: late('syscall', undefined, PROGRAM_FLAG.SLEEPABLE),
}

/** Kind of the programs in a section; `tc/anything` and `?tc` count as `tc`. `undefined` for a name this library does not know. */
export function sectionKind(name: string): SectionKind | undefined {
  for (let rest = name.replace(/^\?/, ''); rest !== ''; rest = rest.slice(0, Math.max(rest.lastIndexOf('/'), 0))) {
    const kind = Object.hasOwn(KINDS, rest) ? KINDS[rest] : undefined
    if (kind) return kind
  }
  return undefined
}
