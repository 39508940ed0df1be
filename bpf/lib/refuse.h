/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Refuses a packet to who sent it, as what that one sent. */
#ifndef AXONEME_REFUSE_H
#define AXONEME_REFUSE_H

#include "event.h"
#include "reject.h"
#include "translation.h"

/*
 * Makes a packet that was translated on its way here, by this program or a device's, what
 * its sender sent, who knows the service and no backend.
 */
static __noinline int restore(struct __sk_buff *skb, struct packet *packet,
			      const struct outcome *outcome)
{
	struct rewrite *rewrite = rewrite_room();
	struct translation *answers;

	if (!rewrite)
		return DROP_NONE;
	if (outcome->rewrite != REWRITE_DONE) {
		if (outcome->flow && !(outcome->flow->flags & FLOW_TRANSLATED))
			return DROP_NONE;
		tuple_turn(&rewrite->back_from, &packet->tuple);
		answers = translation_lookup(&rewrite->back_from, bpf_ktime_get_coarse_ns());
		if (!answers || !(answers->flags & TRANSLATION_REPLY))
			return DROP_NONE;
		tuple_turn(&rewrite->from, &answers->target);
		rewrite->entry.target = packet->tuple;
	}
	packet->tuple = rewrite->from;
	return rewrite_packet(skb, packet, &rewrite->entry.target, &rewrite->from);
}

/* Makes a packet the refusal of itself. @return 0; else there is nothing to send */
static __always_inline int refuse(struct __sk_buff *skb, struct packet *packet,
				  const struct outcome *outcome)
{
	return restore(skb, packet, outcome) ? -1 : reject(skb, packet);
}

#endif
