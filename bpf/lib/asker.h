/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Whoever asks for a service by a socket, and what is told of one that is refused: it sends
 * no packet, but is counted and in the flow log as if it had.
 */
#ifndef AXONEME_ASKER_H
#define AXONEME_ASKER_H

#include "datagram.h"
#include "event.h"
#include "identity.h"
#include "service.h"
#include "socket.h"
#include "verdict.h"

/* Cookie of the node's own network namespace: loopback frontends and reserved ports are for that one. */
const volatile __u64 node_namespace = 0;

/* The socket's protocol and namespace, and the frontend it asked for. */
struct asker {
	struct frontend *frontend;
	struct pod_namespace *pod;
	__u64 namespace;
	__u8 protocol;
	__u8 family;
};

/* A pod's address, and its port where it has one yet; of others what their socket is bound to, if it is. */
static __always_inline void name_source(struct bpf_sock_addr *ctx, const struct asker *asker,
					struct tuple *tuple)
{
	struct bpf_sock *sk = ctx->sk;

	tuple->source_port = bpf_htons(sk->src_port);
	if (asker->pod) {
		tuple->source =
			asker->family == 4 ? asker->pod->address[0] : asker->pod->address[1];
		if (asker->family == 4 && address_is_unspecified(&tuple->source))
			address_from_ipv4(&tuple->source, 0);
		return;
	}
	if (asker->family == 4) {
		address_from_ipv4(&tuple->source, sk->src_ip4);
		return;
	}
	address_from_words(&tuple->source, sk->src_ip6);
}

static __always_inline bool is_bound(const struct asker *asker, const struct address *source)
{
	return asker->family == 4 ? address_word(source, 3) != 0 : !address_is_unspecified(source);
}

/* A pod without an address of this family is known by its other one. */
static __always_inline __u32 asker_identity(const struct asker *asker, const struct address *source)
{
	struct endpoint *endpoint;

	if (asker->namespace == node_namespace)
		return IDENTITY_HOST;
	if (!asker->pod)
		return is_bound(asker, source) ? identity_of(source, 0) : IDENTITY_UNKNOWN;
	endpoint = endpoint_lookup(source);
	if (!endpoint)
		endpoint = endpoint_lookup(asker->family == 4 ? &asker->pod->address[1]
							      : &asker->pod->address[0]);
	return endpoint ? endpoint->identity : IDENTITY_UNKNOWN;
}

/* Of what a socket asked for, and was refused before there was a packet. */
static __always_inline void refusal_send(const struct tuple *tuple, __u8 family,
					 const struct outcome *outcome)
{
	struct flow_event *event = event_begin(tuple, family, outcome);

	if (!event)
		return;
	event->tcp_flags = tuple->protocol == PROTOCOL_TCP ? TCP_SYN : 0;
	event->icmp_type = 0;
	event->icmp_code = 0;
	event->length = 0;
	event->ifindex = 0;
	event->flow_flags = 0;
	event->packets[0] = 0;
	event->packets[1] = 0;
	event->bytes[0] = 0;
	event->bytes[1] = 0;
	event_end(event);
}

/* For the counters and the flow log, as the same of a packet. Not inlined: two ways lead here. */
static __noinline int report_refusal(struct bpf_sock_addr *ctx, const struct asker *asker,
				     const struct socket_name *name)
{
	struct tuple tuple = {
		.destination = name->address,
		.destination_port = name->port,
		.protocol = asker->protocol,
	};
	struct outcome outcome = {
		.verdict = VERDICT_DROPPED,
		.reason = DROP_NO_SERVICE,
		.direction = DIRECTION_EGRESS,
		.report = EVENT_DROP,
		.service = asker->frontend->service,
	};

	count_packet(VERDICT_DROPPED, DROP_NO_SERVICE, DIRECTION_EGRESS, 0);
	if (!flow_events)
		return 0;
	name_source(ctx, asker, &tuple);
	outcome.identity[0] = asker_identity(asker, &tuple.source);
	outcome.identity[1] = identity_of(&name->address, 0);
	outcome.endpoint[0] = asker->pod ? asker->pod->endpoint : 0;
	refusal_send(&tuple, asker->family, &outcome);
	return 0;
}

#endif
