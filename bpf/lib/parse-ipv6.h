/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* An IPv6 header and those that extend it, and what is behind them. */
#ifndef AXONEME_PARSE_IPV6_H
#define AXONEME_PARSE_IPV6_H

#include <linux/ipv6.h>

#include "parse-transport.h"

struct ipv6_walk {
	__u32 offset;
	__u8 next;
	bool fragmented; /* a fragment header was seen, if only of an atomic fragment */
};

/* Steps over one extension header. @return 1 when the transport header is reached, 0 to go on, or a negated drop reason */
static __always_inline int ipv6_step(struct __sk_buff *skb, struct packet *packet,
				     struct ipv6_walk *walk)
{
	struct ipv6_extension_start extension;
	__u32 length;

	switch (walk->next) {
	case EXTENSION_HOP_BY_HOP:
	case EXTENSION_ROUTING:
	case EXTENSION_DESTINATION:
	case EXTENSION_AUTHENTICATION:
		if (bpf_skb_load_bytes(skb, walk->offset, &extension, sizeof(extension)))
			return -DROP_INVALID_PACKET;
		length = walk->next == EXTENSION_AUTHENTICATION ? (extension.length + 2) * 4
								: (extension.length + 1) * 8;
		if (walk->offset + length > packet->end)
			return -DROP_INVALID_PACKET;
		/* It goes on to an address that nobody judged. */
		if (walk->next == EXTENSION_ROUTING && extension.segments_left)
			return -DROP_INVALID_PACKET;
		walk->offset += length;
		walk->next = extension.next;
		return 0;
	case EXTENSION_FRAGMENT: {
		struct ipv6_fragment fragment;
		__u16 offset;

		/* A second fragment header has no meaning (RFC 8200 4.5), only a use in attacks. */
		if (walk->fragmented ||
		    bpf_skb_load_bytes(skb, walk->offset, &fragment, sizeof(fragment)))
			return -DROP_INVALID_PACKET;
		walk->fragmented = true;
		walk->offset += sizeof(fragment);
		walk->next = fragment.next;
		if (walk->offset > packet->end)
			return -DROP_INVALID_PACKET;
		offset = bpf_ntohs(fragment.offset);
		packet->fragment_id = fragment.identification;
		packet->fragment_start = walk->offset;
		packet->fragment_offset = offset & IPV6_OFFSET_MASK;
		if (packet->fragment_offset) {
			packet->fragment = FRAGMENT_LATER;
			return 1;
		}
		/* An "atomic" fragment (RFC 6946) is a whole packet. */
		if (offset & IPV6_MORE_FRAGMENTS)
			packet->fragment = FRAGMENT_FIRST;
		return 0;
	}
	case EXTENSION_NONE:
	case PROTOCOL_ICMP:
		return -DROP_UNKNOWN_L4;
	default:
		return 1;
	}
}

static __always_inline enum drop_reason parse_ipv6(struct __sk_buff *skb, struct packet *packet)
{
	struct ipv6_walk walk = { .offset = ETH_HLEN + sizeof(struct ipv6hdr) };
	struct ipv6hdr ip;
	__u32 payload;
	int step = 0;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 6)
		return DROP_INVALID_PACKET;
	payload = bpf_ntohs(ip.payload_len);
	if (walk.offset + payload > frame_length(skb))
		return DROP_INVALID_PACKET;

	packet->family = 6;
	packet->ttl = ip.hop_limit;
	/* A jumbogram (RFC 2675) has its length in a hop-by-hop option; so has a large packet before segmentation. */
	packet->end = payload || ip.nexthdr != EXTENSION_HOP_BY_HOP ? walk.offset + payload
								    : frame_length(skb);
	__builtin_memcpy(&packet->tuple.source, &ip.saddr, sizeof(struct address));
	__builtin_memcpy(&packet->tuple.destination, &ip.daddr, sizeof(struct address));
	packet->tuple.protocol = ip.nexthdr;
	if (address_is_mapped(&packet->tuple.source) ||
	    address_is_mapped(&packet->tuple.destination))
		return DROP_IPV4_MAPPED_ADDRESS;

	walk.next = ip.nexthdr;
	/* One step more than there may be extension headers: the last finds the transport header. */
#pragma unroll
	for (int i = 0; i <= IPV6_EXTENSIONS_MAX; i++) {
		step = ipv6_step(skb, packet, &walk);
		if (step)
			break;
	}
	packet->tuple.protocol = walk.next;
	packet->l4_offset = walk.offset;
	if (step < 0)
		return (enum drop_reason) - step;
	if (step == 0)
		return DROP_UNKNOWN_L4;
	return packet->fragment == FRAGMENT_LATER ? DROP_NONE : parse_transport(skb, packet);
}

#endif
