/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which connection a packet belongs to, if to any: by its addresses and ports, by who
 * may go on with what somebody else has opened, and by what an ICMP error quotes.
 */
#ifndef AXONEME_TRACKED_H
#define AXONEME_TRACKED_H

#include "event.h"
#include "judge.h"
#include "parse.h"
#include "translate.h"

struct tracked {
	struct flow_key key;
	struct tuple quoted; /* of an ICMP error: the packet it is about, as that one was sent */
	__u64 now;
	__u32 revision;
	__u32 service; /* that it is translated for */
	enum flow_direction direction; /* of the packet, or of the one it quotes */
	bool source_is_high;
	bool related;
	bool from_host;
	bool translated;
	bool opened; /* the translation is of this packet, which policy may yet deny */
	bool to_pod;
	bool from_proxy;
	bool accepted; /* of what is from a proxy: by a socket that it has accepted */
	bool proxies; /* are in use */
	__u8 pad[3];
};

/*
 * Whether the packet is no part of the flow that its addresses and ports name.
 * A lone SYN from the answering side, or after the end, is an attempt to open
 * another one; so is an echo request from the side that answers echoes. A lone
 * SYN that the opener repeats is the same attempt. What the node opened goes on
 * only with what the node sends, and nothing else does: its address is not enough.
 */
static __always_inline bool is_of_another(const struct packet *packet, const struct flow *flow,
					  enum flow_direction direction, bool from_host)
{
	if (packet->icmp_kind != KIND_ERROR && direction == FLOW_ORIGINAL &&
	    from_host != !!(flow->flags & FLOW_FROM_HOST))
		return true;
	if (packet->icmp_kind == KIND_ECHO_REQUEST)
		return direction == FLOW_REPLY;
	if (packet->icmp_kind == KIND_ECHO_REPLY)
		return direction == FLOW_ORIGINAL;
	return opens_connection(packet) && (direction == FLOW_REPLY || flow_is_closed(flow));
}

/* Whether an address has gone to another pod since the flow was judged: what that one sends is no part of it. */
static __always_inline bool has_other_ends(const struct flow_key *key, const struct flow *flow)
{
	bool opener_is_high = flow->flags & FLOW_INITIATOR_IS_HIGH;
	const struct address *source = opener_is_high ? &key->high : &key->low;
	const struct endpoint *other = endpoint_lookup(opener_is_high ? &key->low : &key->high);
	const struct endpoint *opener = is_loopback(source) ? other : endpoint_lookup(source);

	return (opener ? opener->id : 0) != flow->endpoint[FLOW_ORIGINAL] ||
	       (other ? other->id : 0) != flow->endpoint[FLOW_REPLY];
}

/*
 * Whether an ICMP error quotes a packet of the one that the error goes to. A pod
 * is no router: it reports only about what was sent to itself.
 */
static __always_inline bool quotes_receiver(struct __sk_buff *skb, const struct packet *packet,
					    struct tuple *quoted, bool from_pod)
{
	return packet->fragment != FRAGMENT_LATER && parse_quoted(skb, packet, quoted) &&
	       address_equal(&quoted->source, &packet->tuple.destination) &&
	       (!from_pod || address_equal(&quoted->destination, &packet->tuple.source));
}

/*
 * Whether the packet may belong to a flow: of ICMP, only echoes and errors do. An error
 * belongs to that of the packet that it quotes.
 */
static __always_inline bool names_flow(struct __sk_buff *skb, const struct packet *packet,
				       struct tracked *tracked, const struct outcome *outcome)
{
	if (packet->icmp_kind > KIND_ERROR)
		return false;
	return packet->icmp_kind != KIND_ERROR ||
	       quotes_receiver(skb, packet, &tracked->quoted,
			       outcome->direction == DIRECTION_EGRESS);
}

/* The flow of the key, where the packet belongs to it. */
static __always_inline struct flow *seek_by_key(const struct packet *packet,
						struct tracked *tracked)
{
	struct flow *flow = flow_lookup(&tracked->key, tracked->now);
	enum flow_direction direction;

	if (!flow)
		return 0;
	direction = flow_direction(flow, tracked->source_is_high);
	if (is_of_another(packet, flow, direction, tracked->from_host))
		return 0;
	/* Without a raised revision no address has changed hands. */
	if (flow->revision != tracked->revision && has_other_ends(&tracked->key, flow))
		return 0;
	tracked->direction = direction;
	tracked->related = packet->icmp_kind == KIND_ERROR;
	return flow;
}

/* Whether what a party sends is of that leg: the opener's packets are of the first, as is what a proxy sends to the opener. */
static __always_inline bool is_of_leg(const struct tracked *tracked, enum flow_leg leg)
{
	bool from_opener = (tracked->direction == FLOW_REPLY) == tracked->related;

	return from_opener == ((leg == LEG_TO_PROXY) != tracked->from_proxy);
}

/* Of the legs, the one that the packet belongs to; its key stays in `tracked`. */
static __noinline struct flow *seek_leg(const struct packet *packet, struct tracked *tracked)
{
	struct flow *flow;

	tracked->key.leg = LEG_TO_PROXY;
	flow = seek_by_key(packet, tracked);
	if (flow && is_of_leg(tracked, LEG_TO_PROXY))
		return flow;
	tracked->key.leg = LEG_FROM_PROXY;
	flow = seek_by_key(packet, tracked);
	if (flow && is_of_leg(tracked, LEG_FROM_PROXY))
		return flow;
	tracked->key.leg = LEG_DIRECT;
	/* Forgotten: of what a proxy has accepted, it answers the opener. */
	tracked->direction = tracked->accepted && packet->tuple.protocol == PROTOCOL_TCP &&
					     !opens_connection(packet)
				     ? FLOW_REPLY
				     : FLOW_ORIGINAL;
	tracked->related = false;
	return 0;
}

/* The flow that the packet belongs to; its key and its direction, too. */
static __always_inline struct flow *seek_flow(const struct packet *packet, struct tracked *tracked)
{
	struct flow *flow = 0;

	tracked->source_is_high = flow_key_init(
		&tracked->key, packet->icmp_kind == KIND_ERROR ? &tracked->quoted : &packet->tuple);
	if (!tracked->from_proxy)
		flow = seek_by_key(packet, tracked);
	return flow || !tracked->proxies ? flow : seek_leg(packet, tracked);
}

/* Not static, see parse_packet: it cannot give a flow back for that. @return whether there is one, by `tracked->key` */
__noinline int has_flow(const struct packet *packet, struct tracked *tracked)
{
	return packet && tracked && seek_flow(packet, tracked);
}

static __always_inline void set_flow(struct outcome *outcome, const struct tracked *tracked,
				     struct flow *flow)
{
	outcome->flow = flow;
	/* An error goes back to where the packet came from that it quotes. */
	outcome->flow_direction = tracked->direction ^ tracked->related;
}

#endif
