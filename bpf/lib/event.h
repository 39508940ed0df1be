/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Flow events: what the kernel tells the agent, aggregated here: a connection's
 * first packet, its end, every drop, and a periodic sign of life. The reader
 * polls; it is woken only when the buffer fills, so a connection's price is two
 * records and no wake-up.
 */
#ifndef AXONEME_EVENT_H
#define AXONEME_EVENT_H

#include "conntrack.h"
#include "proxy-kind.h"
#include "verdict.h"

#define EVENT_BUFFER_BYTES (4 * 1024 * 1024)
/*
 * A wake-up costs ten times what a record does (an interrupt to ourselves), so there is one only
 * while the fill passes this mark: a window, because records of several CPUs may pass it at once.
 */
#define EVENT_WAKE_BYTES (EVENT_BUFFER_BYTES / 4)
#define EVENT_WAKE_WINDOW_BYTES 4096

const volatile bool flow_events = true;
const volatile __u32 report_interval_seconds = 5;

enum event_kind {
	EVENT_NEW = 1,
	EVENT_ACTIVE = 2, /* periodic, while packets flow */
	EVENT_CLOSED = 3,
	EVENT_DROP = 4,
	EVENT_RELATED = 5, /* an ICMP error about a tracked flow */
};

/* Where the packet went on to; Hubble's trace observation points. */
enum observation_point {
	OBSERVED_NOWHERE = 0,
	OBSERVED_TO_PROXY = 1,
	OBSERVED_TO_STACK = 3,
	OBSERVED_TO_ENDPOINT = 101,
};

/* Source and destination are the packet's; the arrays of two are [source's, destination's]. */
struct flow_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	struct address source;
	struct address destination;
	__u64 packets[2]; /* of the whole flow so far: sent by [0] the opener, [1] the other side */
	__u64 bytes[2];
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 family;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 kind; /* enum event_kind */
	__u8 verdict; /* enum verdict */
	__u8 direction; /* enum traffic_direction: whose policy decided a drop, or would have */
	__u8 drop_reason; /* enum drop_reason; with VERDICT_AUDIT: what it would have been */
	__u8 observation; /* enum observation_point */
	__u8 is_reply;
	__u8 flow_flags; /* enum flow_flags */
	__u32 identity[2];
	__u32 endpoint[2];
	__u32 egress_rule; /* of the flow */
	__u32 ingress_rule;
	__u32 length; /* of the packet, bytes */
	__u32 ifindex; /* where the packet was seen; 0: refused in its socket, it never was one */
	__u32 service; /* that the flow was opened to; 0: none */
	__u8 proxy; /* enum proxy_kind, of the flow */
	__u8 pad[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENT_BUFFER_BYTES);
} events SEC(".maps");

struct event_count {
	__u64 sent;
	__u64 lost; /* the buffer was full */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct event_count);
} event_counts SEC(".maps");

static __always_inline void count_event(bool sent)
{
	__u32 zero = 0;
	struct event_count *count = bpf_map_lookup_elem(&event_counts, &zero);

	if (!count)
		return;
	if (sent)
		count->sent++;
	else
		count->lost++;
}

/* What rewrite_room() (translation.h) is to a packet. */
enum rewrite_state {
	REWRITE_NONE = 0,
	REWRITE_DONE = 1, /* it has been translated by that */
	REWRITE_AHEAD = 2, /* an answer, it is yet to be */
};

/* What became of a packet; everything the record needs beyond the packet itself. */
struct outcome {
	enum verdict verdict; /* known at the end */
	enum drop_reason reason; /* DROP_NONE: nothing stands against it */
	enum traffic_direction direction;
	enum event_kind report; /* 0: nothing to tell */
	enum observation_point observation;
	__u32 identity[2]; /* opener's, responder's */
	__u32 endpoint[2];
	__u32 egress_rule;
	__u32 ingress_rule;
	__u32 service; /* that the packet's flow was opened to; 0: none */
	__u32 l7[2]; /* as in struct flow */
	__u8 audit; /* enum audit */
	__u8 flow_direction; /* enum flow_direction */
	__u8 proxy; /* enum proxy_kind, that the flow is handed to */
	__u8 leg; /* enum flow_leg */
	bool for_proxy; /* it is of a connection that a proxy has opened, and is for that one */
	bool refuse; /* tell the sender that nobody is there */
	bool belated; /* of what is over: that it is dropped is only counted */
	__u8 rewrite; /* enum rewrite_state */
	struct flow *flow;
};

static __always_inline __u64 event_wakeup(void)
{
	/* Wraps around below the mark. */
	__u64 beyond = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) - EVENT_WAKE_BYTES;

	return beyond < EVENT_WAKE_WINDOW_BYTES ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/*
 * A record of everything but what a packet alone has: tcp_flags, icmp_type, icmp_code, length,
 * ifindex, flow_flags, packets and bytes are the caller's to fill, before event_end.
 * @return 0: there is no room; it is counted as lost
 */
static __always_inline struct flow_event *event_begin(const struct tuple *tuple, __u8 family,
						      const struct outcome *outcome)
{
	bool reply = outcome->flow_direction == FLOW_REPLY;
	struct flow_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	count_event(event != 0);
	if (!event)
		return 0;
	event->time_ns = bpf_ktime_get_ns();
	event->source = tuple->source;
	event->destination = tuple->destination;
	event->source_port = tuple->source_port;
	event->destination_port = tuple->destination_port;
	event->protocol = tuple->protocol;
	event->family = family;
	event->kind = outcome->report;
	event->verdict = outcome->verdict;
	event->direction = outcome->direction;
	event->drop_reason = outcome->reason;
	event->observation = outcome->observation;
	event->is_reply = reply;
	event->identity[0] = reply ? outcome->identity[1] : outcome->identity[0];
	event->identity[1] = reply ? outcome->identity[0] : outcome->identity[1];
	event->endpoint[0] = reply ? outcome->endpoint[1] : outcome->endpoint[0];
	event->endpoint[1] = reply ? outcome->endpoint[0] : outcome->endpoint[1];
	event->egress_rule = outcome->egress_rule;
	event->ingress_rule = outcome->ingress_rule;
	event->service = outcome->service;
	event->proxy = outcome->proxy;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	return event;
}

static __always_inline void event_end(struct flow_event *event)
{
	bpf_ringbuf_submit(event, event_wakeup());
}

const enum event_kind *anchor_event_kind __attribute__((unused));
const enum observation_point *anchor_observation_point __attribute__((unused));
const struct flow_event *anchor_flow_event __attribute__((unused));

#endif
