/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Changes the addresses and ports of a packet in its buffer, checksums included:
 * whole packets, fragments, and ICMP errors with the packet that they quote.
 *
 * Checksums are changed by the difference (RFC 1624), so what was wrong stays wrong,
 * and what a device is still to compute is left to it. A UDP checksum of zero means
 * that there is none and stays zero. SCTP's CRC is linear, so it can follow as well;
 * not that of a packet in fragments, whose length the first one does not tell.
 */
#ifndef AXONEME_REWRITE_H
#define AXONEME_REWRITE_H

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "checksum.h"
#include "packet.h"
#include "verdict.h"

/* Source and destination; their ports stand right behind them. */
#define TUPLE_ADDRESSES_BYTES (2 * sizeof(struct address))
#define TUPLE_PORTS_BYTES (2 * sizeof(__be16))

enum checksum_offset {
	CHECKSUM_OF_TCP = 16,
	CHECKSUM_OF_UDP = 6,
	CHECKSUM_OF_SCTP = 8,
	CHECKSUM_OF_ICMP = 2,
};

/* The prefix that makes an IPv4 address 16 bytes long is the same on both sides, so it takes no part. */
static __always_inline __u32 addresses_difference(const struct tuple *from, const struct tuple *to)
{
	return bpf_csum_diff((__be32 *)&from->source, TUPLE_ADDRESSES_BYTES, (__be32 *)&to->source,
			     TUPLE_ADDRESSES_BYTES, 0);
}

static __always_inline __u32 ports_difference(const struct tuple *from, const struct tuple *to)
{
	return bpf_csum_diff((__be32 *)&from->source_port, TUPLE_PORTS_BYTES,
			     (__be32 *)&to->source_port, TUPLE_PORTS_BYTES, 0);
}

/* Addresses of the IP header at an offset, without its checksum. @return 0, or an error */
static __always_inline int store_addresses(struct __sk_buff *skb, __u32 offset, __u8 family,
					   const struct tuple *to)
{
	__be32 pair[2];

	if (family == 6)
		return bpf_skb_store_bytes(skb, offset + offsetof(struct ipv6hdr, saddr),
					   &to->source, TUPLE_ADDRESSES_BYTES, 0);
	pair[0] = address_word(&to->source, 3);
	pair[1] = address_word(&to->destination, 3);
	return bpf_skb_store_bytes(skb, offset + offsetof(struct iphdr, saddr), pair, sizeof(pair),
				   0);
}

/*
 * A CRC of zero is as good as surely one that a device is still to compute.
 * @return a drop reason
 */
static __always_inline enum drop_reason rewrite_sctp_crc(struct __sk_buff *skb,
							 const struct packet *packet,
							 const struct tuple *from,
							 const struct tuple *to)
{
	__u32 offset = packet->l4_offset + CHECKSUM_OF_SCTP;
	__u32 old, new, crc;

	__builtin_memcpy(&old, &from->source_port, sizeof(old));
	__builtin_memcpy(&new, &to->source_port, sizeof(new));
	if (old == new)
		return DROP_NONE;
	if (packet->fragment != FRAGMENT_NONE)
		return DROP_CSUM_L4;
	if (bpf_skb_load_bytes(skb, offset, &crc, sizeof(crc)))
		return DROP_INVALID_PACKET;
	if (crc == 0)
		return DROP_NONE;
	crc ^= crc32c_change(old ^ new, packet->end - packet->l4_offset);
	return bpf_skb_store_bytes(skb, offset, &crc, sizeof(crc), 0) ? DROP_INVALID_PACKET
								      : DROP_NONE;
}

/* @return a drop reason */
static __always_inline enum drop_reason rewrite_transport(struct __sk_buff *skb,
							  const struct packet *packet,
							  const struct tuple *from,
							  const struct tuple *to, __u32 addresses)
{
	__u64 mangled = from->protocol == PROTOCOL_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 offset = packet->l4_offset;
	enum drop_reason reason;

	switch (from->protocol) {
	case PROTOCOL_TCP:
		offset += CHECKSUM_OF_TCP;
		break;
	case PROTOCOL_UDP:
		offset += CHECKSUM_OF_UDP;
		break;
	case PROTOCOL_SCTP:
		reason = rewrite_sctp_crc(skb, packet, from, to);
		if (reason != DROP_NONE)
			return reason;
		offset = 0;
		break;
	default:
		return DROP_UNKNOWN_L4;
	}
	/* In two steps: where a device is to compute it, it covers the addresses already, and not yet the ports. */
	if (offset && (bpf_l4_csum_replace(skb, offset, 0, addresses, mangled | BPF_F_PSEUDO_HDR) ||
		       bpf_l4_csum_replace(skb, offset, 0, ports_difference(from, to), mangled)))
		return DROP_INVALID_PACKET;
	return bpf_skb_store_bytes(skb, packet->l4_offset, &to->source_port, TUPLE_PORTS_BYTES, 0)
		       ? DROP_INVALID_PACKET
		       : DROP_NONE;
}

/*
 * Gives a packet other addresses and, but for a later fragment, other ports. `from` is
 * what it has. The description stays as it was. Not static, see parse_packet.
 * @return a drop reason: the packet may be half rewritten then
 */
__noinline int rewrite_packet(struct __sk_buff *skb, const struct packet *packet,
			      const struct tuple *from, const struct tuple *to)
{
	enum drop_reason reason;
	__u32 addresses;

	if (!packet || !from || !to)
		return DROP_INVALID_PACKET;
	addresses = addresses_difference(from, to);
	if (packet->fragment != FRAGMENT_LATER) {
		reason = rewrite_transport(skb, packet, from, to, addresses);
		if (reason != DROP_NONE)
			return reason;
	}
	if (store_addresses(skb, ETH_HLEN, packet->family, to))
		return DROP_INVALID_PACKET;
	if (packet->family == 4)
		return bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), 0,
					   addresses, 0)
			       ? DROP_INVALID_PACKET
			       : DROP_NONE;
	/*
	 * The sum that a device made of the whole packet has not changed: addresses and checksum
	 * make up for each other. bpf_l4_csum_replace took them for IPv4's, whose header has a sum
	 * of its own (there is a flag for it from 6.16 on). No effect without such a sum.
	 */
	if (packet->fragment != FRAGMENT_LATER && from->protocol != PROTOCOL_SCTP)
		bpf_csum_update(skb, addresses);
	return DROP_NONE;
}

/* Where the parts of a quoted packet are. */
struct quotation {
	__u32 ip;
	__u32 l4;
	__u8 protocol;
	__u8 pad[3];
};

/* @return 0, or an error */
static __always_inline int find_quotation(struct __sk_buff *skb, const struct packet *packet,
					  struct quotation *quotation)
{
	quotation->ip = packet->l4_offset + sizeof(struct icmp_start);
	if (packet->family == 4) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, quotation->ip, &ip, sizeof(ip)))
			return -1;
		quotation->l4 = quotation->ip + ip.ihl * 4;
		quotation->protocol = ip.protocol;
		return 0;
	}
	quotation->l4 = quotation->ip + sizeof(struct ipv6hdr);
	if (bpf_skb_load_bytes(skb, quotation->ip + offsetof(struct ipv6hdr, nexthdr),
			       &quotation->protocol, 1))
		return -1;
	if (quotation->protocol == EXTENSION_FRAGMENT) {
		if (bpf_skb_load_bytes(skb, quotation->l4, &quotation->protocol, 1))
			return -1;
		quotation->l4 += sizeof(struct ipv6_fragment);
	}
	return 0;
}

/* Changes a checksum inside of the quotation. @return by how much its own value grows what covers it */
static __always_inline __u32 grow_quoted(struct __sk_buff *skb, const struct packet *packet,
					 __u32 offset, __u32 difference, bool optional)
{
	__u16 old, new;

	/* Cut off, or none. */
	if (offset + sizeof(old) > packet->end ||
	    bpf_skb_load_bytes(skb, offset, &old, sizeof(old)))
		return 0;
	if (optional && old == 0)
		return 0;
	new = checksum_grow(old, difference);
	if (optional && new == 0)
		new = 0xffff;
	if (bpf_skb_store_bytes(skb, offset, &new, sizeof(new), 0))
		return 0;
	return sum_add((__u16)~old, new);
}

/*
 * The same for an ICMP error that quotes a packet of the other direction: `from` is that
 * packet's tuple turned around, which is the direction that the error goes. The error's
 * own sender keeps its address where it is a router, and neither end.
 */
__noinline int rewrite_error(struct __sk_buff *skb, const struct packet *packet,
			     const struct tuple *from, const struct tuple *to)
{
	struct quotation quotation = {};
	struct tuple outer, quoted;
	__u32 sum, addresses, ports;

	if (!packet || !from || !to || find_quotation(skb, packet, &quotation))
		return DROP_INVALID_PACKET;
	tuple_turn(&quoted, to);
	/* Turning around changes no sum. */
	addresses = addresses_difference(from, to);
	ports = ports_difference(from, to);
	sum = sum_add(addresses, ports);
	if (packet->family == 4)
		sum = sum_add(sum,
			      grow_quoted(skb, packet, quotation.ip + offsetof(struct iphdr, check),
					  addresses, false));
	if (quotation.protocol == PROTOCOL_TCP)
		sum = sum_add(sum, grow_quoted(skb, packet, quotation.l4 + CHECKSUM_OF_TCP,
					       sum_add(addresses, ports), false));
	else if (quotation.protocol == PROTOCOL_UDP)
		sum = sum_add(sum, grow_quoted(skb, packet, quotation.l4 + CHECKSUM_OF_UDP,
					       sum_add(addresses, ports), true));
	if (store_addresses(skb, quotation.ip, packet->family, &quoted) ||
	    bpf_skb_store_bytes(skb, quotation.l4, &quoted.source_port, TUPLE_PORTS_BYTES, 0))
		return DROP_INVALID_PACKET;

	outer.source = address_equal(&packet->tuple.source, &from->source) ? to->source
									   : packet->tuple.source;
	outer.destination = address_equal(&packet->tuple.destination, &from->destination)
				    ? to->destination
				    : packet->tuple.destination;
	addresses = addresses_difference(&packet->tuple, &outer);
	if (packet->family == 6)
		sum = sum_add(sum, addresses);
	if (bpf_l4_csum_replace(skb, packet->l4_offset + CHECKSUM_OF_ICMP, 0, sum, 0) ||
	    store_addresses(skb, ETH_HLEN, packet->family, &outer))
		return DROP_INVALID_PACKET;
	if (packet->family == 4 &&
	    bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), 0, addresses, 0))
		return DROP_INVALID_PACKET;
	return DROP_NONE;
}

/* Either of the two, as it is one. */
static __always_inline int rewrite_any(struct __sk_buff *skb, const struct packet *packet,
				       const struct tuple *from, const struct tuple *to)
{
	return packet->icmp_kind == KIND_ERROR ? rewrite_error(skb, packet, from, to)
					       : rewrite_packet(skb, packet, from, to);
}

#endif
