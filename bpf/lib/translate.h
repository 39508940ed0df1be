/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a packet is to be translated to: by the entry of its connection, or to a
 * backend that is chosen for a new one. Changes no packet.
 */
#ifndef AXONEME_TRANSLATE_H
#define AXONEME_TRANSLATE_H

#include "translation.h"

enum translate_result {
	TRANSLATE_NOTHING = 0, /* it goes on as it is */
	TRANSLATE_KNOWN = 1,
	TRANSLATE_OPENED = 2,
	TRANSLATE_REJECT = 3, /* there is no backend: say so */
	TRANSLATE_DROP = 4, /* there is no backend: say nothing */
};

static __always_inline bool opens_connection(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_SCTP;
}

/*
 * Whether the address still is the service's that it was translated for, and the backend one
 * of that service's; or still nobody's.
 */
static __always_inline bool is_served(const struct translation *entry, const struct tuple *from)
{
	struct frontend *frontend =
		frontend_lookup(&from->destination, from->destination_port, from->protocol);

	if (entry->flags & TRANSLATION_PORT)
		return !frontend || (frontend->flags & FRONTEND_NODE_ONLY);
	return frontend && frontend->service == entry->service && backend_lookup(entry->backend);
}

/*
 * An established TCP connection keeps its backend whatever becomes of that one. Who
 * opens one, and every other packet of a client, goes to a backend that is there.
 */
static __always_inline bool is_in_force(const struct translation *entry,
					const struct packet *packet, const struct tuple *from)
{
	if ((entry->flags & TRANSLATION_REPLY) || packet->icmp_kind == KIND_ERROR)
		return true;
	if (from->protocol == PROTOCOL_TCP && !opens_connection(packet))
		return true;
	return !tcp_is_closed(entry->tcp_flags) && is_served(entry, from);
}

/*
 * A TCP connection opens anew, to another backend perhaps: what the one before still
 * sends must not pass for an answer of the new one.
 */
static __always_inline void forget_answers(struct rewrite *rewrite, const struct translation *entry)
{
	struct translation *back;

	rewrite->entry = *entry;
	rewrite_turn(rewrite);
	back = bpf_map_lookup_elem(&translations, &rewrite->back_from);
	if (back && tuple_equal(&back->target, &rewrite->back.target))
		bpf_map_delete_elem(&translations, &rewrite->back_from);
}

/* A connection to no service is over: the next that its client opens may keep its port. */
static __always_inline void forget_port(struct rewrite *rewrite, const struct translation *entry)
{
	forget_answers(rewrite, entry);
	bpf_map_delete_elem(&translations, &rewrite->from);
}

/* The frontend that the packet asks for, where any client of another namespace may ask for it. */
static __always_inline struct frontend *frontend_asked(const struct tuple *from)
{
	struct frontend *frontend =
		frontend_lookup(&from->destination, from->destination_port, from->protocol);

	return frontend && !(frontend->flags & FRONTEND_NODE_ONLY) ? frontend : 0;
}

/* In mid-stream: of somebody who translated it before. Only a hash can tell what to go on with. */
static __always_inline bool is_lost_midway(const struct packet *packet, const struct tuple *from,
					   const struct frontend *frontend)
{
	return from->protocol == PROTOCOL_TCP && !opens_connection(packet) &&
	       !(frontend->flags & FRONTEND_HASHED);
}

/*
 * Chooses a backend for a client of that kind: `rewrite->entry` is then as translation_open
 * wants it. @return whether there is one; else see result_without
 */
static __always_inline bool choose_backend(const struct packet *packet, struct rewrite *rewrite,
					   const struct frontend *frontend, enum client_kind kind)
{
	const struct tuple *from = &rewrite->from;
	struct translation *entry = &rewrite->entry;
	struct service_client client = {
		.address = from->source,
		.kind = kind,
		.hash = flow_hash(from),
	};
	struct backend *backend;

	entry->service = frontend->service;
	entry->backend = service_choose(frontend, &client);
	backend = backend_lookup(entry->backend);
	if (!backend ||
	    address_is_mapped(&backend->address) != address_is_mapped(&from->destination))
		return false;
	entry->target = *from;
	entry->target.destination = backend->address;
	entry->target.destination_port = backend->port;
	entry->flags = 0;
	entry->tcp_flags[0] = packet->tcp_flags;
	entry->tcp_flags[1] = 0;
	return true;
}

static __always_inline enum translate_result result_without(const struct frontend *frontend,
							    enum client_kind kind)
{
	return frontend->without[kind] == WITHOUT_DROP ? TRANSLATE_DROP : TRANSLATE_REJECT;
}

/* `former`: the entry of a connection that is over, or 0. @return enum translate_result, or a negated drop reason */
static __always_inline int translate_new(const struct packet *packet, struct rewrite *rewrite,
					 const struct translation *former, __u64 now)
{
	const struct tuple *from = &rewrite->from;
	struct tuple *target = &rewrite->entry.target;
	struct frontend *frontend = frontend_asked(from);
	int reason;

	if (!frontend || is_lost_midway(packet, from, frontend))
		return TRANSLATE_NOTHING;
	if (former && from->protocol == PROTOCOL_TCP)
		forget_answers(rewrite, former);
	if (!choose_backend(packet, rewrite, frontend, CLIENT_CLUSTER))
		return result_without(frontend, CLIENT_CLUSTER);
	if (address_equal(&from->source, &target->destination))
		set_loopback(&target->source, address_is_mapped(&from->source));
	reason = translation_open(rewrite, now);
	return reason == DROP_NONE ? TRANSLATE_OPENED : -reason;
}

/* What another node told of (DSR): not every packet says that it is of such a connection. */
static __always_inline bool is_told_of(const struct translation *answers)
{
	return !answers->backend && !(answers->flags & TRANSLATION_PORT);
}

/* Of what another node told of, only the flow knows both ends. */
static __always_inline bool is_closed_here(struct rewrite *rewrite)
{
	struct flow *flow;

	flow_key_init(&rewrite->flow, &rewrite->from);
	flow = bpf_map_lookup_elem(&flows, &rewrite->flow);
	return flow && flow_is_closed(flow);
}

/*
 * For a packet that asks for no service, and that the other end would take for one of a
 * translated connection from the same port: its answers would be translated, too. Where that
 * connection is over it is forgotten; while it lives, this one comes from another port.
 * @return as translate
 */
static __always_inline int translate_beside(const struct packet *packet, struct rewrite *rewrite,
					    __u64 now)
{
	struct translation *entry = &rewrite->entry;
	struct translation *answers;
	__u8 protocol = rewrite->from.protocol;
	int reason;

	if (protocol == PROTOCOL_TCP && !opens_connection(packet))
		return TRANSLATE_NOTHING;
	tuple_turn(&rewrite->back_from, &rewrite->from);
	answers = translation_lookup(&rewrite->back_from, now);
	if (!answers || (answers->flags & (TRANSLATION_REPLY | TRANSLATION_SOURCE |
					   TRANSLATION_DIRECT)) != TRANSLATION_REPLY)
		return TRANSLATE_NOTHING;
	if (is_over(answers, protocol) || (is_told_of(answers) && is_closed_here(rewrite))) {
		forget_client(rewrite, answers, &rewrite->from);
		bpf_map_delete_elem(&translations, &rewrite->back_from);
		return TRANSLATE_NOTHING;
	}
	if (is_told_of(answers))
		return TRANSLATE_NOTHING;
	entry->target = rewrite->from;
	entry->backend = 0;
	entry->service = 0;
	entry->flags = TRANSLATION_PORT;
	entry->tcp_flags[0] = packet->tcp_flags;
	entry->tcp_flags[1] = 0;
	reason = translation_open(rewrite, now);
	return reason == DROP_NONE ? TRANSLATE_OPENED : -reason;
}

/*
 * For a packet of a client in the cluster that has `rewrite->from`, or an answer to one.
 * `may_open`: whether a new connection may begin with it.
 * `to_pod`: only answers are translated there, for what clients sent has been, and is not to be by what
 * another connection from the same port goes by. Not static, see parse_packet.
 * @return enum translate_result, and the translation in `rewrite->entry` when there is
 * one; or a negated drop reason. `rewrite->entry.service` is set wherever there is a service.
 */
__noinline int translate(const struct packet *packet, struct rewrite *rewrite, __u64 now,
			 bool may_open, bool to_pod)
{
	struct translation *entry;
	int result;

	if (!packet || !rewrite)
		return TRANSLATE_NOTHING;
	entry = translation_lookup(&rewrite->from, now);
	if (to_pod && entry && !(entry->flags & TRANSLATION_REPLY))
		return TRANSLATE_NOTHING;
	if (entry && is_in_force(entry, packet, &rewrite->from)) {
		translation_use(rewrite, entry, packet->tcp_flags, now);
		return TRANSLATE_KNOWN;
	}
	if (!may_open)
		return TRANSLATE_NOTHING;
	if (entry && (entry->flags & TRANSLATION_PORT)) {
		forget_port(rewrite, entry);
		entry = 0;
	}
	result = translate_new(packet, rewrite, entry, now);
	return result == TRANSLATE_NOTHING ? translate_beside(packet, rewrite, now) : result;
}

#endif
