/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * From bytes to a packet's description. Nothing here decides; it only refuses what can not
 * be described safely.
 */
#ifndef AXONEME_PARSE_H
#define AXONEME_PARSE_H

#include "parse-ipv4.h"
#include "parse-ipv6.h"

/* The packet that an ICMP error quotes, as far as it names a flow. @return false when it does not */
static __noinline __attribute__((unused)) int
parse_quoted(struct __sk_buff *skb, const struct packet *error, struct tuple *quoted)
{
	__u32 offset = error->l4_offset + sizeof(struct icmp_start);
	struct icmp_start start;

	if (error->family == 4) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)) || ip.version != 4 ||
		    ip.ihl < 5 || (bpf_ntohs(ip.frag_off) & IP_OFFSET_MASK))
			return false;
		address_from_ipv4(&quoted->source, ip.saddr);
		address_from_ipv4(&quoted->destination, ip.daddr);
		quoted->protocol = ip.protocol;
		offset += ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)) || ip.version != 6)
			return false;
		__builtin_memcpy(&quoted->source, &ip.saddr, sizeof(struct address));
		__builtin_memcpy(&quoted->destination, &ip.daddr, sizeof(struct address));
		if (address_is_mapped(&quoted->source) || address_is_mapped(&quoted->destination))
			return false;
		quoted->protocol = ip.nexthdr;
		offset += sizeof(ip);
		if (quoted->protocol == EXTENSION_FRAGMENT) {
			struct ipv6_fragment fragment;

			if (bpf_skb_load_bytes(skb, offset, &fragment, sizeof(fragment)) ||
			    bpf_ntohs(fragment.offset) >> 3)
				return false;
			quoted->protocol = fragment.next;
			offset += sizeof(fragment);
		}
	}
	/* An error quotes at least eight bytes of the transport header (RFC 792). */
	if (bpf_skb_load_bytes(skb, offset, &start, sizeof(start)))
		return false;
	switch (quoted->protocol) {
	case PROTOCOL_ICMP:
		tuple_set_icmp(quoted, icmp_kind_v4(start.type), start.identifier);
		return icmp_kind_v4(start.type) <= KIND_ECHO_REPLY;
	case PROTOCOL_ICMPV6:
		tuple_set_icmp(quoted, icmp_kind_v6(start.type), start.identifier);
		return icmp_kind_v6(start.type) <= KIND_ECHO_REPLY;
	case PROTOCOL_TCP:
	case PROTOCOL_UDP:
	case PROTOCOL_SCTP:
		__builtin_memcpy(&quoted->source_port, &start, sizeof(struct l4_ports));
		return true;
	default:
		return true;
	}
}

/*
 * Fills in a zeroed description of an IP packet. @return a drop reason
 * Not static, here and elsewhere, so that the verifier judges the function once
 * and by itself, instead of every path through it with every path behind it. The
 * price is that it can not see that no caller passes NULL.
 */
__noinline int parse_packet(struct __sk_buff *skb, struct packet *packet)
{
	if (!packet)
		return DROP_INVALID_PACKET;
	packet->length = frame_length(skb);
	if (frame_is_tagged(skb))
		return DROP_VLAN_FILTERED;
	switch (frame_protocol(skb)) {
	case bpf_htons(ETH_P_IP):
		return parse_ipv4(skb, packet);
	case bpf_htons(ETH_P_IPV6):
		return parse_ipv6(skb, packet);
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return DROP_VLAN_FILTERED;
	default:
		return DROP_UNSUPPORTED_L3;
	}
}

#endif
