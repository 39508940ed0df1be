/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * One packet against the connections that are known: is it part of one, is that
 * one's verdict still of today's policy, does the packet open a new one? The
 * answer is an outcome; the caller delivers and records.
 */
#ifndef AXONEME_TRACK_H
#define AXONEME_TRACK_H

#include "carry.h"
#include "fragment.h"
#include "serve.h"

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
	outcome->proxy = flow->proxy;
	outcome->l7[FLOW_ORIGINAL] = flow->l7[FLOW_ORIGINAL];
	outcome->l7[FLOW_REPLY] = flow->l7[FLOW_REPLY];
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
	flow->proxy = outcome->proxy;
	flow->l7[FLOW_ORIGINAL] = outcome->l7[FLOW_ORIGINAL];
	flow->l7[FLOW_REPLY] = outcome->l7[FLOW_REPLY];
	flow->revision = revision;
}

static __noinline int flow_open(const struct packet *packet, const struct tracked *tracked,
				struct outcome *outcome)
{
	bool reply = tracked->direction == FLOW_REPLY;
	struct flow flow = {
		.reported_ns = tracked->now,
		.packets = { !reply, reply },
		.bytes = { reply ? 0 : packet->length, reply ? packet->length : 0 },
		.tcp_flags = { reply ? 0 : packet->tcp_flags, reply ? packet->tcp_flags : 0 },
		.flags = (tracked->source_is_high != reply ? FLOW_INITIATOR_IS_HIGH : 0) |
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
	tracked->revision = policy_revision(&tracked->proxies);
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
		if (tracked->proxies || outcome->proxy != PROXY_NONE) {
			carry(skb, packet, tracked, outcome);
			flow = outcome->flow;
		}
		if (outcome->reason != DROP_NONE) {
			if (flow)
				flow_hold(flow, tracked->key.protocol, tracked->now);
		} else if (!outcome->for_proxy) {
			remember(packet, tracked, outcome);
		}
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

/* Who made a packet. */
struct maker {
	bool host; /* a process of this node, or its kernel, itself */
	bool proxy; /* in the name of one end of a connection */
	bool accepted; /* that was opened to it: in that of the responder */
};

/* Inline, so that what the steps call is not one call deeper: their stacks add up. */
static __always_inline void track(struct __sk_buff *skb, struct packet *packet, struct maker maker,
				  struct outcome *outcome)
{
	struct tracked tracked = {
		.from_host = maker.host,
		.from_proxy = maker.proxy,
		.accepted = maker.accepted,
		.to_pod = outcome->direction == DIRECTION_INGRESS,
	};

	if (find(skb, packet, &tracked, outcome))
		translate_tracked(skb, packet, &tracked, outcome);
	if (outcome->reason == DROP_NONE)
		judge_tracked(skb, packet, &tracked, outcome);
	outcome->leg = tracked.key.leg;
}

#endif
