/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * One packet against the connections that are known: is it part of one, is that
 * one's verdict still of today's policy, does the packet open a new one? The
 * answer is an outcome; the caller delivers and records.
 */
#ifndef AXONEME_TRACK_H
#define AXONEME_TRACK_H

#include "fragment.h"
#include "judge.h"
#include "rewrite.h"
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
	__u8 pad[7];
};

/* ICMP messages other than echoes are judged one by one: they open nothing that an answer could belong to. */
static __always_inline bool is_stateless(const struct packet *packet)
{
	return (packet->tuple.protocol == PROTOCOL_ICMP ||
		packet->tuple.protocol == PROTOCOL_ICMPV6) &&
	       packet->icmp_kind != KIND_ECHO_REQUEST;
}

static __always_inline __be16 policy_port(const struct packet *packet, const struct tuple *tuple,
					  bool of_known_flow)
{
	if (tuple->protocol == PROTOCOL_ICMP)
		return bpf_htons(of_known_flow ? ICMP_ECHO_REQUEST : packet->icmp_type);
	if (tuple->protocol == PROTOCOL_ICMPV6)
		return bpf_htons(of_known_flow ? ICMPV6_ECHO_REQUEST : packet->icmp_type);
	return tuple->destination_port;
}

/* The connection that the packet opens or belongs to, from opener to responder. */
static __always_inline void describe_connection(struct connection *connection,
						const struct packet *packet,
						const struct tracked *tracked,
						const struct outcome *outcome)
{
	const struct tuple *tuple = tracked->related ? &tracked->quoted : &packet->tuple;

	connection->tuple = *tuple;
	if (tracked->direction == FLOW_REPLY) {
		connection->tuple.source = tuple->destination;
		connection->tuple.destination = tuple->source;
		connection->tuple.source_port = tuple->destination_port;
		connection->tuple.destination_port = tuple->source_port;
	}
	connection->policy_port = policy_port(packet, &connection->tuple, outcome->flow != 0);
	connection->from_host =
		outcome->flow ? !!(outcome->flow->flags & FLOW_FROM_HOST) : tracked->from_host;
}

static __always_inline void outcome_from_flow(struct outcome *outcome, const struct flow *flow)
{
	outcome->identity[0] = flow->identity[0];
	outcome->identity[1] = flow->identity[1];
	outcome->endpoint[0] = flow->endpoint[0];
	outcome->endpoint[1] = flow->endpoint[1];
	outcome->egress_rule = flow->egress_rule;
	outcome->ingress_rule = flow->ingress_rule;
	outcome->audit = flow->audit;
	outcome->service = flow->service;
}

static __always_inline void flow_stamp(struct flow *flow, const struct outcome *outcome,
				       __u32 revision)
{
	flow->identity[0] = outcome->identity[0];
	flow->identity[1] = outcome->identity[1];
	flow->endpoint[0] = outcome->endpoint[0];
	flow->endpoint[1] = outcome->endpoint[1];
	flow->egress_rule = outcome->egress_rule;
	flow->ingress_rule = outcome->ingress_rule;
	flow->audit = outcome->audit;
	flow->revision = revision;
}

static __noinline int flow_open(const struct packet *packet, const struct tracked *tracked,
				struct outcome *outcome)
{
	struct flow flow = {
		.reported_ns = tracked->now,
		.packets = { 1, 0 },
		.bytes = { packet->length, 0 },
		.tcp_flags = { packet->tcp_flags, 0 },
		.flags = (tracked->source_is_high ? FLOW_INITIATOR_IS_HIGH : 0) |
			 (tracked->from_host ? FLOW_FROM_HOST : 0) |
			 (tracked->translated ? FLOW_TRANSLATED : 0),
		.service = outcome->service,
	};

	flow.expires_ns =
		tracked->now + connection_lifetime(flow.tcp_flags, packet->tuple.protocol);
	flow_stamp(&flow, outcome, tracked->revision);
	outcome->report = EVENT_NEW;
	if (bpf_map_update_elem(&flows, &tracked->key, &flow, BPF_ANY)) {
		outcome->reason = DROP_CT_INSERT_FAILED;
		outcome->report = EVENT_DROP;
	}
	return 0;
}

/* What there is to report of a packet of a known, allowed flow. */
static __always_inline enum event_kind flow_report(struct flow *flow, __u64 now)
{
	if (flow_is_closed(flow) && !(flow->flags & FLOW_CLOSED)) {
		flow->flags |= FLOW_CLOSED;
		return EVENT_CLOSED;
	}
	if (now > flow->reported_ns + report_interval_seconds * NANOSECONDS) {
		flow->reported_ns = now;
		return EVENT_ACTIVE;
	}
	return 0;
}

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

/* The flow that the packet belongs to; its key and its direction, too. */
static __always_inline struct flow *seek_flow(const struct packet *packet, struct tracked *tracked)
{
	bool related = packet->icmp_kind == KIND_ERROR;
	enum flow_direction direction;
	struct flow *flow;

	tracked->source_is_high =
		flow_key_init(&tracked->key, related ? &tracked->quoted : &packet->tuple);
	flow = flow_lookup(&tracked->key, tracked->now);
	if (!flow)
		return 0;
	direction = flow_direction(flow, tracked->source_is_high);
	if (is_of_another(packet, flow, direction, tracked->from_host))
		return 0;
	/* Without a raised revision no address has changed hands. */
	if (flow->revision != tracked->revision && has_other_ends(&tracked->key, flow))
		return 0;
	tracked->direction = direction;
	tracked->related = related;
	return flow;
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

/* A known flow that no translation concerns, and nobody opens anew, is told at first sight: most packets end here. */
static __always_inline bool may_be_translated(const struct packet *packet,
					      const struct tracked *tracked,
					      const struct outcome *outcome)
{
	const struct flow *flow = outcome->flow;

	if (packet->icmp_kind != KIND_NOT_ICMP && packet->icmp_kind != KIND_ERROR)
		return false;
	if (!flow || (flow->flags & FLOW_TRANSLATED))
		return true;
	return outcome->direction == DIRECTION_EGRESS &&
	       (flow->revision != tracked->revision || opens_connection(packet));
}

/* A TCP connection that is known untranslated goes on so, whatever stands for its address by now. */
static __always_inline bool may_open_translation(const struct packet *packet,
						 const struct tracked *tracked,
						 const struct outcome *outcome)
{
	const struct flow *flow = outcome->flow;

	if (outcome->direction != DIRECTION_EGRESS || packet->icmp_kind == KIND_ERROR)
		return false;
	return !flow || opens_connection(packet) ||
	       (packet->tuple.protocol != PROTOCOL_TCP && flow->revision != tracked->revision);
}

/* What translate_packet tells: of these as they apply, and a drop reason above them. */
enum translate_answer {
	PACKET_TRANSLATED = 1,
	PACKET_OPENED = 2, /* by a translation that is new: policy may yet deny it */
	PACKET_IS_ANSWER = 4, /* it has not been changed yet */
	PACKET_REFUSED = 8,
	PACKET_REASON_SHIFT = 8,
};

/*
 * Translates what a client sends to a service: from here on the packet, and what an error
 * quotes, are what the backend gets and sent. An answer stays as it is, for policy knows
 * the connection as the backend does; see `outcome->answer`.
 * Not static, see parse_packet. @return bits of enum translate_answer; 0: not translated
 */
__noinline int translate_packet(struct __sk_buff *skb, struct packet *packet,
				struct tracked *tracked, bool may_open)
{
	struct rewrite *rewrite = rewrite_room();
	enum drop_reason reason;
	int result;

	if (!packet || !tracked || !rewrite)
		return 0;
	if (packet->icmp_kind == KIND_ERROR)
		tuple_turn(&rewrite->from, &tracked->quoted);
	else
		rewrite->from = packet->tuple;
	if (!has_ports(rewrite->from.protocol))
		return 0;
	result = translate(packet, rewrite, tracked->now, may_open);
	tracked->service = rewrite->entry.service;
	if (result < 0)
		return -result << PACKET_REASON_SHIFT;
	switch (result) {
	case TRANSLATE_KNOWN:
		result = PACKET_TRANSLATED;
		break;
	case TRANSLATE_OPENED:
		result = PACKET_TRANSLATED | PACKET_OPENED;
		break;
	case TRANSLATE_REJECT:
		return PACKET_REFUSED | DROP_NO_SERVICE << PACKET_REASON_SHIFT;
	case TRANSLATE_DROP:
		return DROP_NO_SERVICE << PACKET_REASON_SHIFT;
	default:
		return 0;
	}
	if (rewrite->entry.flags & TRANSLATION_REPLY)
		return result | PACKET_IS_ANSWER;
	if (packet->icmp_kind == KIND_ERROR) {
		reason = rewrite_error(skb, packet, &rewrite->from, &rewrite->entry.target);
		tuple_turn(&tracked->quoted, &rewrite->entry.target);
		packet->tuple.source = rewrite->entry.target.source;
		packet->tuple.destination = rewrite->entry.target.destination;
	} else {
		reason = rewrite_packet(skb, packet, &rewrite->from, &rewrite->entry.target);
		packet->tuple = rewrite->entry.target;
	}
	return result | reason << PACKET_REASON_SHIFT;
}

/* Who asked, where there is nobody to be asked. */
static __always_inline void name_asker(const struct packet *packet, struct outcome *outcome)
{
	struct endpoint *source = endpoint_lookup(&packet->tuple.source);

	outcome->identity[0] = source ? source->identity : 0;
	outcome->endpoint[0] = source ? source->id : 0;
	outcome->identity[1] = identity_of(&packet->tuple.destination, 0);
}

/* What the translation means for the flow. */
static __always_inline void follow_translation(const struct packet *packet, struct tracked *tracked,
					       struct outcome *outcome, int result)
{
	struct flow *stale = outcome->flow;

	outcome->reason = result >> PACKET_REASON_SHIFT;
	outcome->refuse = !!(result & PACKET_REFUSED);
	outcome->answer = !!(result & PACKET_IS_ANSWER);
	outcome->service = tracked->service;
	tracked->opened = !!(result & PACKET_OPENED);
	tracked->translated = result & PACKET_TRANSLATED;
	if (outcome->reason != DROP_NONE) {
		tracked->direction = FLOW_ORIGINAL;
		tracked->related = false;
		set_flow(outcome, tracked, 0);
		name_asker(packet, outcome);
		if (tracked->opened)
			translation_forget();
		return;
	}
	if (outcome->answer)
		return;
	/* From when nothing stood for this address. */
	if (stale && !(stale->flags & FLOW_TRANSLATED))
		bpf_map_delete_elem(&flows, &tracked->key);
	tracked->direction = FLOW_ORIGINAL;
	tracked->related = false;
	set_flow(outcome, tracked,
		 has_flow(packet, tracked) ? bpf_map_lookup_elem(&flows, &tracked->key) : 0);
	if (outcome->flow && !(outcome->flow->flags & FLOW_TRANSLATED)) {
		outcome->flow->flags |= FLOW_TRANSLATED;
		outcome->flow->service = tracked->service;
	}
}

/* The service that the sender's socket was connected to, where the socket was translated (socket.h). */
static __always_inline __u32 service_of_socket(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_sock *socket = skb->sk;
	struct socket_service *service;

	if (!socket)
		return 0;
	socket = bpf_sk_fullsock(socket);
	if (!socket)
		return 0;
	service = bpf_sk_storage_get(&socket_services, socket, 0, 0);
	return service && service->backend_port == packet->tuple.destination_port &&
			       address_equal(&service->backend, &packet->tuple.destination)
		       ? service->service
		       : 0;
}

/* What a new connection has to do with services: it is translated on the way here, or was in its socket. */
static __always_inline void find_service(struct __sk_buff *skb, const struct packet *packet,
					 struct tracked *tracked, struct outcome *outcome)
{
	struct translation *answer;
	struct tuple turned;

	if (tracked->translated || !has_ports(packet->tuple.protocol))
		return;
	outcome->service = service_of_socket(skb, packet);
	if (outcome->direction == DIRECTION_EGRESS)
		return;
	/* For this pod by a device's program: its answers go back by the same entry. */
	tuple_turn(&turned, &packet->tuple);
	answer = translation_lookup(&turned, tracked->now);
	if (!answer || !(answer->flags & TRANSLATION_REPLY))
		return;
	tracked->translated = true;
	outcome->service = answer->service;
}

/* The sender of an ICMP error may be a router, and neither end of the connection. */
static __always_inline void name_sender(const struct packet *packet, const struct tracked *tracked,
					struct outcome *outcome)
{
	__u32 identity;

	if (address_equal(&tracked->quoted.destination, &packet->tuple.source))
		return;
	identity = sender_identity(&packet->tuple.source, 0, tracked->from_host);
	if (outcome->flow_direction == FLOW_REPLY) {
		outcome->identity[1] = identity;
		outcome->endpoint[1] = 0;
	} else {
		outcome->identity[0] = identity;
		outcome->endpoint[0] = 0;
	}
}

/* What an allowing judgement leaves behind. One that denies leaves what is known as it is. */
static __always_inline void remember(const struct packet *packet, const struct tracked *tracked,
				     struct outcome *outcome)
{
	if (outcome->flow)
		flow_stamp(outcome->flow, outcome, tracked->revision);
	else if (!is_stateless(packet))
		flow_open(packet, tracked, outcome);
	else
		outcome->report = EVENT_NEW;
}

/* @return whether the packet may be a matter of translation */
static __noinline bool find(struct __sk_buff *skb, struct packet *packet, struct tracked *tracked,
			    struct outcome *outcome)
{
	if (packet->fragment != FRAGMENT_NONE) {
		outcome->reason = fragment_track(packet);
		if (outcome->reason != DROP_NONE)
			return false;
	}
	tracked->now = bpf_ktime_get_coarse_ns();
	tracked->revision = policy_revision();
	if (!names_flow(skb, packet, tracked, outcome))
		return false;
	set_flow(outcome, tracked, seek_flow(packet, tracked));
	return may_be_translated(packet, tracked, outcome);
}

static __noinline int judge_tracked(struct __sk_buff *skb, const struct packet *packet,
				    struct tracked *tracked, struct outcome *outcome)
{
	struct connection connection = {};
	struct flow *flow = outcome->flow;

	if (flow && flow->revision == tracked->revision) {
		outcome_from_flow(outcome, flow);
	} else {
		if (flow)
			outcome->service = flow->service;
		else
			find_service(skb, packet, tracked, outcome);
		describe_connection(&connection, packet, tracked, outcome);
		judge(&connection, outcome);
		if (outcome->reason == DROP_NONE)
			remember(packet, tracked, outcome);
		else if (flow)
			flow_hold(flow, tracked->key.protocol, tracked->now);
		if (outcome->reason != DROP_NONE && tracked->opened)
			translation_forget();
	}
	if (tracked->related) {
		name_sender(packet, tracked, outcome);
		outcome->report = EVENT_RELATED;
	} else if (flow && outcome->reason == DROP_NONE) {
		flow_touch(flow, packet, outcome->flow_direction, tracked->now);
		outcome->report = flow_report(flow, tracked->now);
	}
	return 0;
}

static __noinline int translate_tracked(struct __sk_buff *skb, struct packet *packet,
					struct tracked *tracked, struct outcome *outcome)
{
	int result = translate_packet(skb, packet, tracked,
				      may_open_translation(packet, tracked, outcome));

	if (result)
		follow_translation(packet, tracked, outcome, result);
	return 0;
}

/* Inline, so that what the steps call is not one call deeper: their stacks add up. */
static __always_inline void track(struct __sk_buff *skb, struct packet *packet, bool from_host,
				  struct outcome *outcome)
{
	struct tracked tracked = { .from_host = from_host };

	if (find(skb, packet, &tracked, outcome))
		translate_tracked(skb, packet, &tracked, outcome);
	if (outcome->reason == DROP_NONE)
		judge_tracked(skb, packet, &tracked, outcome);
}

#endif
