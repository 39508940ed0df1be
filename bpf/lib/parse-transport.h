/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a transport header says: ports, flags, which kind of ICMP message it is and what stands in for ports there. */
#ifndef AXONEME_PARSE_TRANSPORT_H
#define AXONEME_PARSE_TRANSPORT_H

#include "frame.h"
#include "packet.h"
#include "verdict.h"

static __always_inline enum icmp_kind icmp_kind_v4(__u8 type)
{
	switch (type) {
	case ICMP_ECHO_REQUEST:
		return KIND_ECHO_REQUEST;
	case ICMP_ECHO_REPLY:
		return KIND_ECHO_REPLY;
	case ICMP_UNREACHABLE:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETER_PROBLEM:
		return KIND_ERROR;
	default:
		return KIND_OTHER;
	}
}

static __always_inline enum icmp_kind icmp_kind_v6(__u8 type)
{
	switch (type) {
	case ICMPV6_ECHO_REQUEST:
		return KIND_ECHO_REQUEST;
	case ICMPV6_ECHO_REPLY:
		return KIND_ECHO_REPLY;
	case ICMPV6_UNREACHABLE:
	case ICMPV6_PACKET_TOO_BIG:
	case ICMPV6_TIME_EXCEEDED:
	case ICMPV6_PARAMETER_PROBLEM:
		return KIND_ERROR;
	case ICMPV6_LISTENER_REPORT:
	case ICMPV6_LISTENER_DONE:
	case ICMPV6_ROUTER_SOLICITATION:
	case ICMPV6_NEIGHBOUR_SOLICITATION:
	case ICMPV6_NEIGHBOUR_ADVERTISEMENT:
	case ICMPV6_LISTENER_REPORT_V2:
		return KIND_NEIGHBOUR;
	default:
		return KIND_OTHER;
	}
}

/*
 * An echo's identifier stands in for a port on the asking side. So request and
 * reply name one flow, and a request from the other side names another.
 */
static __always_inline void tuple_set_icmp(struct tuple *tuple, enum icmp_kind kind,
					   __be16 identifier)
{
	tuple->source_port = kind == KIND_ECHO_REQUEST ? identifier : 0;
	tuple->destination_port = kind == KIND_ECHO_REPLY ? identifier : 0;
}

/* Bytes that a packet must bring: half a header can hide what it says. */
static __always_inline __u8 transport_header(__u8 protocol)
{
	switch (protocol) {
	case PROTOCOL_TCP:
		return 20;
	case PROTOCOL_SCTP:
		return 12;
	case PROTOCOL_UDP:
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMPV6:
		return 8;
	default:
		return 0;
	}
}

/* Reads what the transport header says. */
static __always_inline enum drop_reason parse_transport(struct __sk_buff *skb,
							struct packet *packet)
{
	struct tuple *tuple = &packet->tuple;
	__u32 offset = packet->l4_offset;

	packet->l4_header = transport_header(tuple->protocol);
	if (offset + packet->l4_header > packet->end)
		return DROP_INVALID_PACKET;
	switch (tuple->protocol) {
	case PROTOCOL_TCP: {
		struct tcp_start tcp;

		if (bpf_skb_load_bytes(skb, offset, &tcp, sizeof(tcp)))
			return DROP_INVALID_PACKET;
		tuple->source_port = tcp.ports.source;
		tuple->destination_port = tcp.ports.destination;
		packet->tcp_flags = tcp.flags;
		return DROP_NONE;
	}
	case PROTOCOL_UDP:
	case PROTOCOL_SCTP: {
		struct l4_ports ports;

		if (bpf_skb_load_bytes(skb, offset, &ports, sizeof(ports)))
			return DROP_INVALID_PACKET;
		tuple->source_port = ports.source;
		tuple->destination_port = ports.destination;
		return DROP_NONE;
	}
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMPV6: {
		struct icmp_start icmp;

		if (bpf_skb_load_bytes(skb, offset, &icmp, sizeof(icmp)))
			return DROP_INVALID_PACKET;
		packet->icmp_type = icmp.type;
		packet->icmp_code = icmp.code;
		packet->icmp_kind = tuple->protocol == PROTOCOL_ICMP ? icmp_kind_v4(icmp.type)
								     : icmp_kind_v6(icmp.type);
		tuple_set_icmp(tuple, packet->icmp_kind, icmp.identifier);
		return DROP_NONE;
	}
	default:
		return DROP_NONE;
	}
}

#endif
