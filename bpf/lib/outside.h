/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a packet that came in from outside is to be translated to: by the entry of its
 * connection, or for a client of a service to a backend that is chosen now. Backends of
 * this node see the client's address. Those elsewhere see the node's (SNAT), so that
 * their answers come back here; or are told what the client asked for (direct-return.h).
 * Changes no packet.
 */
#ifndef AXONEME_OUTSIDE_H
#define AXONEME_OUTSIDE_H

#include "direct-return.h"
#include "endpoint.h"
#include "forward.h"
#include "ipcache.h"
#include "translate.h"

/* What connections to backends elsewhere come from; all zero: nothing, they can not be made. */
const volatile __u8 node_ipv4[4] = {};
const volatile __u8 node_ipv6[16] = {};

static __always_inline bool node_address(struct address *address, __u8 family)
{
	__u8 *bytes = address->bytes;

	if (family == 4) {
		address_from_ipv4(address, 0);
#pragma unroll
		for (int i = 0; i < 4; i++)
			bytes[12 + i] = node_ipv4[i];
		return address_word(address, 3) != 0;
	}
#pragma unroll
	for (int i = 0; i < 16; i++)
		bytes[i] = node_ipv6[i];
	return !address_is_unspecified(address);
}

/*
 * One port after the other, so that each rests as long as there are others: a backend
 * remembers for a minute who was there, and may refuse a client that comes from the same.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64); /* how many were asked for */
} source_ports SEC(".maps");

static __always_inline __be16 next_source_port(void)
{
	__u32 zero = 0;
	__u64 *asked = bpf_map_lookup_elem(&source_ports, &zero);

	return any_port(asked ? __sync_fetch_and_add(asked, 1) : bpf_get_prandom_u32());
}

/* Whether a backend of another node answers the client itself: the first packet has to have room for saying so. */
static __always_inline bool returns_directly(struct __sk_buff *skb, const struct packet *packet,
					     const struct frontend *frontend,
					     const struct tuple *target)
{
	struct bpf_fib_lookup fib;
	__u32 length = packet->end - ETH_HLEN + direct_return_bytes(packet);

	if (!(frontend->flags & FRONTEND_DIRECT_RETURN) || packet->fragment != FRAGMENT_NONE ||
	    !direct_return_fits(packet))
		return false;
	return route_to(skb, packet, target, length, &fib) != BPF_FIB_LKUP_RET_FRAG_NEEDED;
}

/*
 * Makes both entries of a connection to a backend elsewhere. The answers to one that is
 * returned directly do not come by, so its client's port can not be changed.
 * @return a drop reason
 */
static __always_inline enum drop_reason
open_elsewhere(struct rewrite *rewrite, const struct packet *packet, bool direct, __u64 now)
{
	struct tuple *target = &rewrite->entry.target;
	enum drop_reason reason;

	if (direct) {
		rewrite->entry.flags = TRANSLATION_DIRECT;
		reason = translation_open(rewrite, now);
		if (reason != DROP_NONE || target->source_port == rewrite->from.source_port)
			return reason;
		translation_forget();
	}
	if (!node_address(&target->source, packet->family))
		return DROP_NAT_NO_MAPPING;
	target->source_port = next_source_port();
	rewrite->entry.flags = TRANSLATION_SOURCE;
	return translation_open(rewrite, now);
}

/* `former`: see translate_new. @return enum translate_result, or a negated drop reason */
static __always_inline int outside_new(struct __sk_buff *skb, const struct packet *packet,
				       struct rewrite *rewrite, const struct translation *former,
				       __u64 now)
{
	const struct tuple *from = &rewrite->from;
	struct tuple *target = &rewrite->entry.target;
	struct frontend *frontend = frontend_asked(from);
	int reason;

	if (!frontend)
		return TRANSLATE_NOTHING;
	rewrite->entry.service = frontend->service;
	if (!(frontend->flags & FRONTEND_OUTSIDE))
		return -DROP_IS_CLUSTER_IP;
	if (is_lost_midway(packet, from, frontend))
		return TRANSLATE_NOTHING;
	if (!in_source_ranges(frontend, &from->source))
		return -DROP_NOT_IN_SOURCE_RANGE;
	if (former && from->protocol == PROTOCOL_TCP)
		forget_answers(rewrite, former);
	if (!choose_backend(packet, rewrite, frontend, CLIENT_OUTSIDE))
		return result_without(frontend, CLIENT_OUTSIDE);
	if (endpoint_lookup(&target->destination) || is_host_address(&target->destination))
		reason = translation_open(rewrite, now);
	else
		reason = open_elsewhere(rewrite, packet,
					returns_directly(skb, packet, frontend, target), now);
	return reason == DROP_NONE ? TRANSLATE_OPENED : -reason;
}

/*
 * Whether answers to this SNAT entry still come to its client. A full map may have lost
 * what says so, and the port may be another connection's by now.
 */
static __always_inline bool still_has_port(struct rewrite *rewrite, const struct translation *entry)
{
	struct translation *back;

	rewrite->entry = *entry;
	rewrite_turn(rewrite);
	back = bpf_map_lookup_elem(&translations, &rewrite->back_from);
	if (!back)
		return !bpf_map_update_elem(&translations, &rewrite->back_from, &rewrite->back,
					    BPF_NOEXIST);
	return tuple_equal(&back->target, &rewrite->back.target);
}

/* Such a packet is rare: most are told by the length of their header. */
static __always_inline bool has_options(const struct packet *packet)
{
	__u32 header = packet->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);

	return packet->l4_offset > ETH_HLEN + header && packet->icmp_kind == KIND_NOT_ICMP &&
	       packet->fragment != FRAGMENT_LATER;
}

/* Of a connection that is returned directly only the client is seen: what it says tells of the other side. */
static __always_inline void infer_answer(struct translation *entry, const struct packet *packet)
{
	if (!(packet->tcp_flags & TCP_SYN))
		entry->tcp_flags[FLOW_REPLY] |= packet->tcp_flags & (TCP_ACK | TCP_FIN);
}

/*
 * What a backend elsewhere answers a pod of this node. The pod program translates it, for policy
 * knows the connection as the backend does. Other answers that come in here are to the node's address.
 */
static __always_inline bool is_answer_to_pod(const struct translation *entry)
{
	return (entry->flags & (TRANSLATION_REPLY | TRANSLATION_SOURCE)) == TRANSLATION_REPLY;
}

/*
 * For a packet that has `rewrite->from`. Not static, see parse_packet.
 * @return enum translate_result, and the translation in `rewrite->entry` when there is
 * one; or a negated drop reason. `rewrite->entry.service` is set wherever there is a service.
 */
__noinline int translate_outside(struct __sk_buff *skb, const struct packet *packet,
				 struct rewrite *rewrite, __u64 now)
{
	struct translation *entry;
	int result;

	if (!packet || !rewrite)
		return TRANSLATE_NOTHING;
	entry = translation_lookup(&rewrite->from, now);
	if (entry && is_answer_to_pod(entry))
		return TRANSLATE_NOTHING;
	if (entry && is_in_force(entry, packet, &rewrite->from)) {
		if ((entry->flags & (TRANSLATION_SOURCE | TRANSLATION_REPLY)) !=
			    TRANSLATION_SOURCE ||
		    still_has_port(rewrite, entry)) {
			if (entry->flags & TRANSLATION_DIRECT)
				infer_answer(entry, packet);
			translation_use(rewrite, entry, packet->tcp_flags, now);
			return TRANSLATE_KNOWN;
		}
		rewrite->entry.service = entry->service;
		if (rewrite->from.protocol == PROTOCOL_TCP && !opens_connection(packet))
			return -DROP_NAT_NO_MAPPING;
	}
	if (packet->icmp_kind == KIND_ERROR)
		return TRANSLATE_NOTHING;
	if (entry && (entry->flags & TRANSLATION_PORT)) {
		forget_port(rewrite, entry);
		entry = 0;
	}
	result = outside_new(skb, packet, rewrite, entry, now);
	/* With options it may be of another node, which says in them what was asked for. */
	return result == TRANSLATE_NOTHING && !has_options(packet)
		       ? translate_beside(packet, rewrite, now)
		       : result;
}

/* Every datagram says what was asked for; of a connection, its opening. */
static __always_inline bool tells_frontend(const struct packet *packet,
					   const struct rewrite *rewrite)
{
	return (rewrite->entry.flags & TRANSLATION_DIRECT) &&
	       !(rewrite->entry.flags & TRANSLATION_REPLY) && packet->icmp_kind == KIND_NOT_ICMP &&
	       packet->fragment != FRAGMENT_LATER &&
	       (rewrite->from.protocol != PROTOCOL_TCP || (packet->tcp_flags & TCP_SYN));
}

#endif
