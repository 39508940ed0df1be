/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Services on the way of one packet: whether it is translated, which connection it then
 * belongs to, and which service a new connection was opened to.
 */
#ifndef AXONEME_SERVE_H
#define AXONEME_SERVE_H

#include "rewrite.h"
#include "tracked.h"

/* A known flow that no translation concerns, and nobody opens anew, is told at first sight: most packets end here. */
static __always_inline bool may_be_translated(const struct packet *packet,
					      const struct tracked *tracked,
					      const struct outcome *outcome)
{
	const struct flow *flow = outcome->flow;

	if (packet->icmp_kind != KIND_NOT_ICMP && packet->icmp_kind != KIND_ERROR)
		return false;
	/* What a proxy opened went to where a translation had led its client. */
	if (tracked->key.leg == LEG_FROM_PROXY ||
	    (tracked->from_proxy && !flow && tracked->direction == FLOW_ORIGINAL))
		return false;
	if (!flow || (flow->flags & FLOW_TRANSLATED))
		return true;
	return outcome->direction == DIRECTION_EGRESS &&
	       (flow->revision != tracked->revision || opens_connection(packet));
}

/*
 * A TCP connection that is known untranslated goes on so, whatever stands for its address
 * by now. A datagram that has no translation, though what its ports name does, is of another.
 */
static __always_inline bool may_open_translation(const struct packet *packet,
						 const struct tracked *tracked,
						 const struct outcome *outcome)
{
	const struct flow *flow = outcome->flow;

	if (outcome->direction != DIRECTION_EGRESS || packet->icmp_kind == KIND_ERROR)
		return false;
	return !flow || opens_connection(packet) ||
	       (packet->tuple.protocol != PROTOCOL_TCP &&
		(flow->revision != tracked->revision || (flow->flags & FLOW_TRANSLATED)));
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
 * the connection as the backend does; see REWRITE_AHEAD.
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
	result = translate(packet, rewrite, tracked->now, may_open, tracked->to_pod);
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
	outcome->rewrite = result & PACKET_IS_ANSWER ? REWRITE_AHEAD : REWRITE_DONE;
	if (outcome->rewrite == REWRITE_AHEAD)
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

	if (tracked->translated || tracked->from_proxy || !has_ports(packet->tuple.protocol))
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

static __noinline int translate_tracked(struct __sk_buff *skb, struct packet *packet,
					struct tracked *tracked, struct outcome *outcome)
{
	bool may_open = may_open_translation(packet, tracked, outcome);
	int result = translate_packet(skb, packet, tracked, may_open);

	if (result)
		follow_translation(packet, tracked, outcome, result);
	else if (may_open && outcome->flow && (outcome->flow->flags & FLOW_TRANSLATED) &&
		 tracked->direction == FLOW_ORIGINAL)
		/* Of a translated connection that is over: its opener's packets would be translated. */
		set_flow(outcome, tracked, 0);
	return 0;
}

#endif
