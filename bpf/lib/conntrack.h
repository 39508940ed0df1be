/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Connection tracking: one entry per connection, found from either direction
 * with one lookup, because the key orders its two ends.
 *
 * An entry remembers who opened the connection, which rules allowed it, and the
 * policy revision it was judged by. An entry judged by an older revision says
 * nothing any more: the next packet is judged again. Expiry is by the clock
 * alone (an expired entry is as good as none) and by LRU when the map is full;
 * no control plane is needed for it.
 */
#ifndef AXONEME_CONNTRACK_H
#define AXONEME_CONNTRACK_H

#include "packet.h"

const volatile __u32 tcp_open_seconds = 60; /* SYN seen, no answer yet */
const volatile __u32 tcp_established_seconds = 8000;
const volatile __u32 tcp_closing_seconds = 10;
const volatile __u32 other_seconds = 60; /* anything but TCP */

enum flow_flags {
	FLOW_INITIATOR_IS_HIGH = 1, /* the opener is the key's high end */
	FLOW_FROM_HOST = 2, /* opened by this node itself: always allowed in */
	FLOW_CLOSED = 4,
	FLOW_TRANSLATED = 8, /* by the packet: each needs its translation (translation.h) */
};

enum flow_direction {
	FLOW_ORIGINAL = 0,
	FLOW_REPLY = 1,
};

/*
 * A proxied connection is two: a proxy accepts the one and opens the other. Both have the
 * addresses of the opener and the responder, so that ports alone may not tell them apart.
 */
enum flow_leg {
	LEG_DIRECT = 0, /* it is one */
	LEG_TO_PROXY = 1, /* between its opener and the proxy */
	LEG_FROM_PROXY = 2, /* between the proxy and its responder */
};

struct flow_key {
	struct address low;
	struct address high;
	__be16 low_port;
	__be16 high_port;
	__u8 protocol;
	__u8 leg; /* enum flow_leg */
	__u8 pad[2];
};

/* Arrays of two: [FLOW_ORIGINAL] the side that opened the connection, [FLOW_REPLY] the other. */
struct flow {
	__u64 expires_ns;
	__u64 reported_ns;
	__u64 packets[2];
	__u64 bytes[2];
	__u32 revision;
	__u32 identity[2];
	__u32 endpoint[2]; /* ids; 0: not a pod of this node */
	__u32 egress_rule;
	__u32 ingress_rule;
	__u8 tcp_flags[2]; /* all flags seen */
	__u8 flags; /* enum flow_flags */
	__u8 audit; /* enum audit: it is allowed in spite of this */
	__u32 service; /* that it was opened to; 0: none */
	__u8 proxy; /* enum proxy_kind: who carries it; PROXY_NONE: nobody, it is direct */
	__u8 pad[3];
	/* Numbers of the rules for what is said on it: of the opener's egress policy, the other's ingress policy; 0: none. */
	__u32 l7[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* The one thing the agent changes under running traffic. */
struct runtime {
	__u32 revision; /* of policy, endpoints and ipcache; raised after the maps have changed */
	__u32 proxies; /* 0: no policy wants any, and no packet is looked at for their sake */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct runtime);
} runtime SEC(".maps");

/* Read before the policy maps are: then a stamp can be too old, which costs one judgement, but never too new. */
static __always_inline __u32 policy_revision(bool *proxies)
{
	__u32 zero = 0;
	struct runtime *now = bpf_map_lookup_elem(&runtime, &zero);

	*proxies = now && now->proxies;
	return now ? *(volatile __u32 *)&now->revision : 0;
}

static __always_inline bool proxies_in_use(void)
{
	bool proxies;

	policy_revision(&proxies);
	return proxies;
}

/* @return true when the tuple's source is the key's high end */
static __always_inline bool flow_key_init(struct flow_key *key, const struct tuple *tuple)
{
	bool source_is_high = address_less(&tuple->destination, &tuple->source) ||
			      (address_equal(&tuple->destination, &tuple->source) &&
			       tuple->destination_port < tuple->source_port);

	key->low = source_is_high ? tuple->destination : tuple->source;
	key->high = source_is_high ? tuple->source : tuple->destination;
	key->low_port = source_is_high ? tuple->destination_port : tuple->source_port;
	key->high_port = source_is_high ? tuple->source_port : tuple->destination_port;
	key->protocol = tuple->protocol;
	key->leg = LEG_DIRECT;
	key->pad[0] = 0;
	key->pad[1] = 0;
	return source_is_high;
}

static __always_inline struct flow *flow_lookup(const struct flow_key *key, __u64 now)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, key);

	return flow && flow->expires_ns > now ? flow : 0;
}

static __always_inline enum flow_direction flow_direction(const struct flow *flow,
							  bool source_is_high)
{
	return source_is_high == !!(flow->flags & FLOW_INITIATOR_IS_HIGH) ? FLOW_ORIGINAL
									  : FLOW_REPLY;
}

/* Flags are all that were seen: of [FLOW_ORIGINAL] the opener, [FLOW_REPLY] the other side. */
static __always_inline bool tcp_is_closed(const __u8 *tcp_flags)
{
	return ((tcp_flags[0] | tcp_flags[1]) & TCP_RST) || (tcp_flags[0] & tcp_flags[1] & TCP_FIN);
}

static __always_inline bool flow_is_closed(const struct flow *flow)
{
	return tcp_is_closed(flow->tcp_flags);
}

static __always_inline __u64 connection_lifetime(const __u8 *tcp_flags, __u8 protocol)
{
	if (protocol != PROTOCOL_TCP)
		return other_seconds * NANOSECONDS;
	if (tcp_is_closed(tcp_flags))
		return tcp_closing_seconds * NANOSECONDS;
	/* Answered, even where the answer does not come by here: its opener acknowledges it. Or picked up in mid-stream. */
	if (tcp_flags[FLOW_REPLY] || (tcp_flags[FLOW_ORIGINAL] & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return tcp_established_seconds * NANOSECONDS;
	return tcp_open_seconds * NANOSECONDS;
}

/* Accounts for one packet of an allowed flow. */
static __always_inline void flow_touch(struct flow *flow, const struct packet *packet,
				       enum flow_direction direction, __u64 now)
{
	__u64 expires;

	if (direction == FLOW_REPLY) {
		__sync_fetch_and_add(&flow->packets[1], 1);
		__sync_fetch_and_add(&flow->bytes[1], packet->length);
		if (packet->tcp_flags & ~flow->tcp_flags[1])
			flow->tcp_flags[1] |= packet->tcp_flags;
	} else {
		__sync_fetch_and_add(&flow->packets[0], 1);
		__sync_fetch_and_add(&flow->bytes[0], packet->length);
		if (packet->tcp_flags & ~flow->tcp_flags[0])
			flow->tcp_flags[0] |= packet->tcp_flags;
	}
	expires = now + connection_lifetime(flow->tcp_flags, packet->tuple.protocol);
	/* Fewer writes to a line that two CPUs share: a second more or less of life does not matter. */
	if (expires > flow->expires_ns + NANOSECONDS || expires < flow->expires_ns)
		flow->expires_ns = expires;
}

/*
 * A TCP connection that policy has cut stays known for as long as either end goes on:
 * once it is forgotten, a packet of the end that was called opens it again, as its own.
 */
static __always_inline void flow_hold(struct flow *flow, __u8 protocol, __u64 now)
{
	__u64 expires = now + tcp_established_seconds * NANOSECONDS;

	if (protocol == PROTOCOL_TCP && expires > flow->expires_ns + NANOSECONDS)
		flow->expires_ns = expires;
}

const enum flow_leg *anchor_flow_leg __attribute__((unused));
const enum flow_flags *anchor_flow_flags __attribute__((unused));

#endif
