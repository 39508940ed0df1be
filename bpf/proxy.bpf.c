// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The programs of the proxies: three on their control group, one on the node's network
 * namespace.
 *
 * mark_proxy marks their sockets, so that no connection of a proxy is handed to
 * a proxy. keep_hops lets resets of connections reach whoever is to see them.
 * tell_proxy answers whoever asks for the TCP_INFO of an accepted
 * connection with what the connection is to be judged by: a proxy knows neither
 * identities nor policies, and a connection that the kernel does not know is told
 * nothing, which no rule allows. find_listener finds the socket that listens where
 * the stack looks for it: when a connection begins on the ports of one whose end a
 * proxy still waits out. Else the pod program has found it before (steer.h).
 */
#include "lib/bpf.h"
#include "lib/address.h"
#include "lib/conntrack.h"
#include "lib/proxy.h"
#include "lib/schema.h"

#define SOL_IP 0
#define IP_TTL 2
#define SOL_IPV6 41
#define IPV6_UNICAST_HOPS 16
#define SOL_TCP 6
#define TCP_INFO 11

/* struct tcp_info of include/uapi/linux/tcp.h as far as answers reach: the names there, and what stands there here. */
struct proxy_info {
	__u8 head[24];
	__u32 unacked; /* PROXY_ANSWER + number of the opener's egress rules */
	__u32 sacked; /* PROXY_ANSWER + number of the responder's ingress rules */
	__u32 lost; /* identity of the opener */
	__u32 retrans; /* identity of the responder */
	__u32 fackets; /* egress rule of the policy map */
	__u32 times[6];
	__u32 rtt; /* number of the service that it was opened to; 0: none */
	__u32 rttvar; /* PROXY_ANSWER, or EGRESS_ANSWER, + number of the only rules; 0: both have some */
	__u32 more[3];
	__u32 reordering; /* ingress rule of the policy map */
};

SEC("cgroup/sock_create")
int mark_proxy(struct bpf_sock *socket)
{
	socket->mark = MARK_FROM_PROXY;
	return 1;
}

/* As its opener has it: the socket is at the responder's address. */
static __always_inline bool name_connection(struct bpf_sock *socket, struct tuple *tuple)
{
	tuple->protocol = PROTOCOL_TCP;
	tuple->source_port = socket->dst_port;
	tuple->destination_port = bpf_htons(socket->src_port);
	if (socket->family == AF_INET) {
		address_from_ipv4(&tuple->source, socket->dst_ip4);
		address_from_ipv4(&tuple->destination, socket->src_ip4);
		return true;
	}
	if (socket->family != AF_INET6)
		return false;
	address_from_words(&tuple->source, socket->dst_ip6);
	address_from_words(&tuple->destination, socket->src_ip6);
	return true;
}

/* The leg of a connection that leads from its opener to the proxy. */
static __noinline struct flow *flow_of(const struct tuple *tuple)
{
	struct flow_key key = {};
	struct flow *flow;
	bool opener_is_high;

	opener_is_high = flow_key_init(&key, tuple);
	key.leg = LEG_TO_PROXY;
	flow = flow_lookup(&key, bpf_ktime_get_ns());
	return flow && flow_direction(flow, opener_is_high) == FLOW_ORIGINAL ? flow : 0;
}

/* HAProxy's way to be rid of a connection is a reset that goes one hop: it would reach pods of this node alone. */
SEC("cgroup/setsockopt")
int keep_hops(struct bpf_sockopt *ctx)
{
	if (ctx->level == SOL_IP && ctx->optname == IP_TTL)
		return 0;
	if (ctx->level == SOL_IPV6 && ctx->optname == IPV6_UNICAST_HOPS)
		return 0;
	/* What is set is passed on as it is, however long. */
	ctx->optlen = 0;
	return 1;
}

/* Of most connections one direction has rules, and one answer says so: an answer costs a proxy a call. */
static __always_inline __u32 only_rules(const struct flow *flow)
{
	__u32 egress = flow->l7[FLOW_ORIGINAL];
	__u32 ingress = flow->l7[FLOW_REPLY];

	if ((egress && ingress) || (egress | ingress) >= EGRESS_ANSWER - PROXY_ANSWER)
		return 0;
	return egress ? EGRESS_ANSWER + egress : PROXY_ANSWER + ingress;
}

SEC("cgroup/getsockopt")
int tell_proxy(struct bpf_sockopt *ctx)
{
	struct proxy_info *info = ctx->optval;
	struct tuple tuple = {};
	struct flow *flow = 0;

	if (ctx->level != SOL_TCP || ctx->optname != TCP_INFO)
		return 1;
	/* Whoever asks for less than the kernel would tell is not told what the kernel told either. */
	if ((void *)(info + 1) > ctx->optval_end)
		return 0;
	if (ctx->sk && name_connection(ctx->sk, &tuple))
		flow = flow_of(&tuple);
	info->unacked = flow ? PROXY_ANSWER + flow->l7[FLOW_ORIGINAL] : 0;
	info->sacked = flow ? PROXY_ANSWER + flow->l7[FLOW_REPLY] : 0;
	info->lost = flow ? flow->identity[FLOW_ORIGINAL] : 0;
	info->retrans = flow ? flow->identity[FLOW_REPLY] : 0;
	info->fackets = flow ? flow->egress_rule : 0;
	info->rtt = flow ? flow->service : 0;
	info->rttvar = flow ? only_rules(flow) : 0;
	info->reordering = flow ? flow->ingress_rule : 0;
	return 1;
}

SEC("sk_lookup")
int find_listener(struct bpf_sk_lookup *ctx)
{
	struct tuple tuple = { .protocol = PROTOCOL_TCP };
	struct bpf_sock *socket;
	struct flow *flow;
	__u32 index;
	long error;

	if (ctx->protocol != PROTOCOL_TCP)
		return SK_PASS;
	tuple.source_port = ctx->remote_port;
	tuple.destination_port = bpf_htons(ctx->local_port);
	if (ctx->family == AF_INET) {
		address_from_ipv4(&tuple.source, ctx->remote_ip4);
		address_from_ipv4(&tuple.destination, ctx->local_ip4);
	} else {
		address_from_words(&tuple.source, ctx->remote_ip6);
		address_from_words(&tuple.destination, ctx->local_ip6);
	}
	flow = flow_of(&tuple);
	if (!flow)
		return SK_PASS;
	index = proxy_socket_index(proxy_listener(flow->proxy, flow->l7), ctx->family == AF_INET6,
				   false);
	socket = bpf_map_lookup_elem(&proxy_sockets, &index);
	if (!socket)
		return SK_DROP;
	error = bpf_sk_assign(ctx, socket, 0);
	bpf_sk_release(socket);
	return error ? SK_DROP : SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
