/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Takes from another node what it sends on to a backend here, which answers its client directly. */
#ifndef AXONEME_TAKE_DIRECT_H
#define AXONEME_TAKE_DIRECT_H

#include "direct-return.h"
#include "endpoint.h"
#include "ipcache.h"
#include "translation.h"

/*
 * Only of a frontend that answers directly may another node speak: it may name one that
 * it alone has, such as a node port at its own address, which is reserved here then.
 * Of a service that does not answer directly, nobody is believed.
 */
static __always_inline bool may_be_told_of(const struct address *address, __be16 port,
					   __u8 protocol)
{
	struct frontend_key key = { .address = *address, .port = port, .protocol = protocol };
	struct frontend *frontend = bpf_map_lookup_elem(&frontends, &key);

	if (!frontend) {
		__builtin_memset(&key.address, 0, sizeof(key.address));
		frontend = bpf_map_lookup_elem(&frontends, &key);
	}
	return frontend && (frontend->flags & FRONTEND_DIRECT_RETURN);
}

/*
 * A packet that another node sent on to a backend here, and that says which frontend its
 * client asked for: the backend's answers will come from there. It goes on without saying so.
 * @return whether it is one, with the drop reason
 */
static __noinline int take_direct(struct __sk_buff *skb, struct packet *packet,
				  struct rewrite *rewrite, enum drop_reason *reason)
{
	struct tuple *asked = &rewrite->from;
	struct translation *known;
	__u64 now = bpf_ktime_get_coarse_ns();

	if (!direct_return_read(skb, packet, &asked->destination, &asked->destination_port) ||
	    (!endpoint_lookup(&packet->tuple.destination) &&
	     !is_host_address(&packet->tuple.destination)) ||
	    !may_be_told_of(&asked->destination, asked->destination_port, asked->protocol)) {
		*asked = packet->tuple;
		return false;
	}
	rewrite->entry.target = packet->tuple;
	rewrite->entry.backend = 0;
	rewrite->entry.service = 0;
	rewrite->entry.flags = 0;
	rewrite->entry.tcp_flags[0] = packet->tcp_flags;
	rewrite->entry.tcp_flags[1] = 0;
	rewrite->entry.expires_ns =
		now + connection_lifetime(rewrite->entry.tcp_flags, asked->protocol);
	rewrite_turn(rewrite);
	known = bpf_map_lookup_elem(&translations, &rewrite->back_from);
	if (known && asked->protocol != PROTOCOL_TCP &&
	    tuple_equal(&known->target, &rewrite->back.target))
		known->expires_ns = rewrite->entry.expires_ns;
	else if (is_taken_untranslated(rewrite, now) || !is_claimed(rewrite, now))
		*reason = DROP_NAT_NO_MAPPING;
	if (*reason == DROP_NONE)
		*reason = direct_return_remove(skb, packet);
	return true;
}

#endif
