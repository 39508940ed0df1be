/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* An IPv4 header and its options, and what is behind them. */
#ifndef AXONEME_PARSE_IPV4_H
#define AXONEME_PARSE_IPV4_H

#include <linux/ip.h>

#include "parse-transport.h"

/*
 * Whether an option sends the packet on to an address that nobody judged (loose
 * and strict source route, RFC 791 3.1). @return true as well when there is no telling
 */
__noinline int has_source_route(struct __sk_buff *skb, __u32 length)
{
	__u8 options[IPV4_OPTIONS_MAX] = {};
	__u32 inside = 0; /* bytes left of the option at hand */

	if (length == 0 || length > sizeof(options) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct iphdr), options, length))
		return true;
	for (int i = 0; i < IPV4_OPTIONS_MAX; i++) {
		if (inside) {
			inside--;
			continue;
		}
		if (options[i] == OPTION_LOOSE_ROUTE || options[i] == OPTION_STRICT_ROUTE)
			return true;
		if (options[i] == OPTION_END)
			return false;
		if (options[i] == OPTION_NOTHING || i + 1 == IPV4_OPTIONS_MAX)
			continue;
		inside = options[i + 1] > 2 ? options[i + 1] - 1 : 1;
	}
	return false;
}

static __always_inline enum drop_reason parse_ipv4(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr ip;
	__u32 header, total;
	__u16 fragment;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return DROP_INVALID_PACKET;
	header = ip.ihl * 4;
	total = bpf_ntohs(ip.tot_len);
	if (ip.version != 4 || header < sizeof(ip) || total < header ||
	    ETH_HLEN + total > frame_length(skb))
		return DROP_INVALID_PACKET;

	packet->family = 4;
	packet->ttl = ip.ttl;
	packet->end = ETH_HLEN + total;
	packet->l4_offset = ETH_HLEN + header;
	packet->tuple.protocol = ip.protocol;
	address_from_ipv4(&packet->tuple.source, ip.saddr);
	address_from_ipv4(&packet->tuple.destination, ip.daddr);
	if (header > sizeof(ip) && has_source_route(skb, header - sizeof(ip)))
		return DROP_INVALID_PACKET;
	if (ip.protocol == PROTOCOL_ICMPV6)
		return DROP_UNKNOWN_L4;

	fragment = bpf_ntohs(ip.frag_off);
	if (fragment & (IP_MORE_FRAGMENTS | IP_OFFSET_MASK)) {
		packet->fragment_id = ip.id;
		packet->fragment_start = packet->l4_offset;
		packet->fragment_offset = (fragment & IP_OFFSET_MASK) * 8;
		packet->fragment = packet->fragment_offset ? FRAGMENT_LATER : FRAGMENT_FIRST;
	}
	return packet->fragment == FRAGMENT_LATER ? DROP_NONE : parse_transport(skb, packet);
}

#endif
