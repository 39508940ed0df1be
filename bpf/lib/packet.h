/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A packet's description: addresses, ports, what kind of packet it is. One description
 * serves both families; parse.h makes it.
 */
#ifndef AXONEME_PACKET_H
#define AXONEME_PACKET_H

#include "address.h"
#include "protocol.h"

enum fragment_kind {
	FRAGMENT_NONE = 0,
	FRAGMENT_FIRST = 1,
	FRAGMENT_LATER = 2, /* carries no ports */
};

enum icmp_kind {
	KIND_NOT_ICMP = 0,
	KIND_ECHO_REQUEST = 1,
	KIND_ECHO_REPLY = 2,
	KIND_ERROR = 3, /* quotes the packet it is about */
	KIND_NEIGHBOUR = 4, /* neighbour discovery and multicast listener reports */
	KIND_OTHER = 5,
};

/* The addresses and ports that name a flow, as the packet has them. */
struct tuple {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 pad[3];
};

static __always_inline void tuple_turn(struct tuple *turned, const struct tuple *tuple)
{
	turned->source = tuple->destination;
	turned->destination = tuple->source;
	turned->source_port = tuple->destination_port;
	turned->destination_port = tuple->source_port;
	turned->protocol = tuple->protocol;
	__builtin_memset(turned->pad, 0, sizeof(turned->pad));
}

struct packet {
	struct tuple tuple;
	__u32 length; /* whole frame */
	__u32 end; /* of the IP packet in the frame: its receiver does not look at what is behind */
	__u32 l4_offset;
	__u32 fragment_id;
	__u32 fragment_start; /* where in the frame the part begins that was cut into fragments */
	__u16 fragment_offset; /* of this fragment in that part, bytes */
	__u8 l4_header; /* bytes of the transport header that are known to be there */
	__u8 family; /* 4 or 6 */
	__u8 ttl;
	__u8 tcp_flags;
	__u8 fragment; /* enum fragment_kind */
	__u8 icmp_kind; /* enum icmp_kind */
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 pad[2];
};

const enum icmp_kind *anchor_icmp_kind __attribute__((unused));

#endif
