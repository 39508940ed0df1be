/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Who carries a connection that has just been judged: it is direct, or one of the two
 * that a proxy makes of it. What was direct can not be handed to a proxy midway.
 */
#ifndef AXONEME_CARRY_H
#define AXONEME_CARRY_H

#include "steer.h"
#include "tracked.h"

/*
 * Whether the packet is for a connection that a proxy has opened: one that passed no pod's
 * device on its way out, or is forgotten. Who opens connections to the node itself is no proxy.
 */
static __always_inline bool is_for_proxy(struct __sk_buff *skb, const struct packet *packet,
					 const struct tracked *tracked)
{
	struct tuple tuple;

	if (!tracked->proxies || packet->fragment == FRAGMENT_LATER ||
	    (!tracked->to_pod && is_host_address(&packet->tuple.destination)))
		return false;
	if (packet->icmp_kind == KIND_ERROR)
		tuple_turn(&tuple, &tracked->quoted);
	else
		tuple = packet->tuple;
	if (tuple.protocol == PROTOCOL_TCP)
		return !opens_connection(packet) && has_opened(skb, &tuple);
	return tuple.protocol == PROTOCOL_UDP && assign_udp(skb, &tuple, false) == ASSIGNED;
}

/* As if its opener had reset it: whoever opens one with its tuple opens another. */
static __always_inline void end_flow(struct flow *flow)
{
	flow->tcp_flags[FLOW_ORIGINAL] |= TCP_RST;
}

/* Of what is direct, and is to be judged by a proxy from now on. */
static __always_inline void carry_direct(const struct packet *packet, struct tracked *tracked,
					 struct outcome *outcome)
{
	struct flow *flow = outcome->flow;

	if (outcome->proxy == PROXY_NONE)
		return;
	if (packet->tuple.protocol == PROTOCOL_UDP && tracked->direction == FLOW_ORIGINAL) {
		/* Each datagram may go another way than the one before. */
		if (flow->flags & FLOW_TRANSLATED)
			tracked->translated = true;
		bpf_map_delete_elem(&flows, &tracked->key);
		set_flow(outcome, tracked, 0);
		tracked->key.leg = LEG_TO_PROXY;
		return;
	}
	outcome->reason = DROP_PROXY_MIDSTREAM;
	outcome->direction = tracked->to_pod ? DIRECTION_INGRESS : DIRECTION_EGRESS;
	if (packet->tuple.protocol == PROTOCOL_TCP) {
		end_flow(flow);
		outcome->refuse = true;
	}
}

/* The leg between opener and proxy. */
static __always_inline void carry_proxied(struct outcome *outcome, const struct tracked *tracked)
{
	const struct flow *flow = outcome->flow;

	/* A proxy that has it keeps it, though nothing is forbidden any more. */
	if (outcome->proxy == PROXY_NONE)
		outcome->proxy = flow->proxy;
	if (outcome->proxy == flow->proxy || tracked->key.protocol != PROTOCOL_TCP)
		return;
	outcome->reason = DROP_PROXY_MIDSTREAM;
	outcome->direction = tracked->to_pod ? DIRECTION_INGRESS : DIRECTION_EGRESS;
	outcome->refuse = !tracked->from_proxy;
	end_flow(outcome->flow);
}

/* What a pod's policy hands its connections of that kind to. */
static __noinline int proxy_of(const struct address *pod, struct policy_question *question)
{
	const struct endpoint *endpoint = endpoint_lookup(pod);
	struct policy_answer answer;

	if (!endpoint)
		return PROXY_NONE;
	question->policy = endpoint->policy;
	policy_decide(question, &answer);
	return answer.proxy;
}

/*
 * Whether the packet answers what only a proxy may carry, of a connection that is forgotten.
 * As a new one of its own it would let the other end speak, as if it answered, to whom it may
 * speak through a proxy alone.
 */
static __always_inline bool answers_proxied(const struct packet *packet,
					    const struct outcome *outcome)
{
	const struct tuple *tuple = &packet->tuple;
	struct policy_question question = {
		.port = tuple->source_port,
		.protocol = tuple->protocol,
		.direction = DIRECTION_EGRESS,
		.identity = outcome->identity[0],
	};

	if (tuple->protocol == PROTOCOL_TCP ? opens_connection(packet)
					    : tuple->protocol != PROTOCOL_UDP)
		return false;
	if (proxy_of(&tuple->destination, &question) != PROXY_NONE)
		return true;
	question.direction = DIRECTION_INGRESS;
	question.identity = outcome->identity[1];
	return proxy_of(&tuple->source, &question) != PROXY_NONE;
}

static __always_inline void carry_new(struct __sk_buff *skb, const struct packet *packet,
				      struct tracked *tracked, struct outcome *outcome)
{
	__u8 protocol = packet->tuple.protocol;

	if (tracked->from_proxy) {
		tracked->key.leg = tracked->direction == FLOW_REPLY ? LEG_TO_PROXY : LEG_FROM_PROXY;
		return;
	}
	if (outcome->reason == DROP_NONE && outcome->proxy != PROXY_NONE) {
		if (protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP) {
			outcome->reason = DROP_SOCKET_LOOKUP_FAILED;
			return;
		}
		/* What was direct is over: it would be found first. */
		bpf_map_delete_elem(&flows, &tracked->key);
		tracked->key.leg = LEG_TO_PROXY;
		return;
	}
	/* Whatever policy says of it as a connection of its own: it is none. */
	if (is_for_proxy(skb, packet, tracked)) {
		outcome->for_proxy = true;
		outcome->reason = DROP_NONE;
		outcome->audit = 0;
	} else if (outcome->reason == DROP_NONE && !tracked->from_host && tracked->proxies &&
		   answers_proxied(packet, outcome)) {
		outcome->reason = DROP_SOCKET_LOOKUP_FAILED;
		outcome->direction = tracked->to_pod ? DIRECTION_INGRESS : DIRECTION_EGRESS;
		outcome->refuse = protocol == PROTOCOL_TCP;
	}
}

/* After a judgement, where proxies are in use. Says which leg it is, or why it can not go on. */
static __noinline int carry(struct __sk_buff *skb, const struct packet *packet,
			    struct tracked *tracked, struct outcome *outcome)
{
	if (!outcome->flow)
		carry_new(skb, packet, tracked, outcome);
	else if (outcome->reason != DROP_NONE)
		return 0;
	else if (tracked->key.leg == LEG_DIRECT)
		carry_direct(packet, tracked, outcome);
	else if (tracked->key.leg == LEG_TO_PROXY)
		carry_proxied(outcome, tracked);
	return 0;
}

#endif
