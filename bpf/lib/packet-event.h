/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The flow event of a packet, see event.h. */
#ifndef AXONEME_PACKET_EVENT_H
#define AXONEME_PACKET_EVENT_H

#include "event.h"

static __noinline int event_send(struct __sk_buff *skb, const struct packet *packet,
				 const struct outcome *outcome)
{
	struct flow_event *event = event_begin(&packet->tuple, packet->family, outcome);

	if (!event)
		return 0;
	event->tcp_flags = packet->tcp_flags;
	event->icmp_type = packet->icmp_type;
	event->icmp_code = packet->icmp_code;
	event->length = packet->length;
	event->ifindex = skb->ifindex;
	if (outcome->flow) {
		event->flow_flags = outcome->flow->flags;
		event->packets[0] = outcome->flow->packets[0];
		event->packets[1] = outcome->flow->packets[1];
		event->bytes[0] = outcome->flow->bytes[0];
		event->bytes[1] = outcome->flow->bytes[1];
	} else {
		event->flow_flags = 0;
		event->packets[0] = 1;
		event->packets[1] = 0;
		event->bytes[0] = packet->length;
		event->bytes[1] = 0;
	}
	event_end(event);
	return 0;
}

#endif
