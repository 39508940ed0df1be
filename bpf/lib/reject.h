/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Makes a packet into the refusal of itself, from the one that it was sent to: a TCP
 * reset, or ICMP's "port unreachable". What is done with it is the caller's business.
 *
 * Never in answer to a fragment, a reset or an ICMP error (RFC 1122 3.2.2).
 */
#ifndef AXONEME_REJECT_H
#define AXONEME_REJECT_H

#include "rewrite.h"

#define REJECT_TTL 64
#define REJECT_CHUNK 64

enum reject_limit {
	REJECT_QUOTE_IPV4 = 576 - 28, /* RFC 1812 4.3.2.3 */
	REJECT_QUOTE_IPV6 = 1280 - 48, /* RFC 4443 2.4 */
	REJECT_CHUNKS = 20, /* of REJECT_CHUNK bytes, they hold the longer of the two */
};

enum unreachable_code {
	UNREACHABLE_PORT_IPV4 = 3,
	UNREACHABLE_TOO_BIG_IPV4 = 4, /* "fragmentation needed" */
	UNREACHABLE_PORT_IPV6 = 4,
};

struct tcp_header {
	struct l4_ports ports;
	__be32 sequence;
	__be32 acknowledgment;
	__u8 data_offset;
	__u8 flags;
	__be16 window;
	__u16 checksum;
	__be16 urgent;
};

static __always_inline int swap_macs(struct __sk_buff *skb)
{
	__u8 macs[2 * ETH_ALEN], swapped[2 * ETH_ALEN];

	if (bpf_skb_load_bytes(skb, 0, macs, sizeof(macs)))
		return -1;
	__builtin_memcpy(swapped, macs + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(swapped + ETH_ALEN, macs, ETH_ALEN);
	return bpf_skb_store_bytes(skb, 0, swapped, sizeof(swapped), 0);
}

/* Of addresses in their long form, a protocol and a length: the prefix of IPv4 addresses adds nothing to a sum. */
static __always_inline __u32 pseudo_header_sum(const struct tuple *tuple, __u32 length,
					       __u8 protocol)
{
	__be32 rest[2] = { bpf_htonl(length), bpf_htonl(protocol) };
	__u32 sum = bpf_csum_diff(0, 0, (__be32 *)&tuple->source, TUPLE_ADDRESSES_BYTES, 0);

	return bpf_csum_diff(0, 0, rest, sizeof(rest), sum);
}

/* The IP header in its place, with its options, as that of an answer of `payload` bytes. */
static __always_inline int answer_ip(struct __sk_buff *skb, const struct packet *packet,
				     __u32 payload)
{
	__u32 length = packet->l4_offset - ETH_HLEN + payload;

	if (packet->family == 4) {
		struct iphdr old, ip;
		__u32 difference;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &old, sizeof(old)))
			return -1;
		ip = old;
		ip.saddr = old.daddr;
		ip.daddr = old.saddr;
		ip.tos = 0;
		ip.ttl = REJECT_TTL;
		ip.tot_len = bpf_htons(length);
		difference =
			bpf_csum_diff((__be32 *)&old, sizeof(old), (__be32 *)&ip, sizeof(ip), 0);
		if (bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0))
			return -1;
		return bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), 0,
					   difference, 0);
	} else {
		struct ipv6hdr ip;
		struct in6_addr source;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
			return -1;
		source = ip.daddr;
		ip.daddr = ip.saddr;
		ip.saddr = source;
		ip.hop_limit = REJECT_TTL;
		ip.payload_len = bpf_htons(length - sizeof(ip));
		return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0);
	}
}

/* RFC 9293 3.10.7.1. Not static, see parse_packet. @return 0 when the packet is the reset now */
__noinline int reject_tcp(struct __sk_buff *skb, const struct packet *packet)
{
	struct tcp_header tcp, reset = {};
	__u32 offset, text;

	if (!packet || packet->fragment != FRAGMENT_NONE)
		return -1;
	offset = packet->l4_offset;
	if (bpf_skb_load_bytes(skb, offset, &tcp, sizeof(tcp)) || (tcp.flags & TCP_RST))
		return -1;
	text = packet->end - offset - (tcp.data_offset >> 4) * 4;
	if (tcp.flags & TCP_SYN)
		text++;
	if (tcp.flags & TCP_FIN)
		text++;
	reset.ports.source = tcp.ports.destination;
	reset.ports.destination = tcp.ports.source;
	reset.data_offset = (sizeof(reset) / 4) << 4;
	reset.flags = TCP_RST;
	if (tcp.flags & TCP_ACK) {
		reset.sequence = tcp.acknowledgment;
	} else {
		reset.flags |= TCP_ACK;
		reset.acknowledgment = bpf_htonl(bpf_ntohl(tcp.sequence) + text);
	}
	/*
	 * From all ones, the two steps below make the whole checksum, or where a device is still to
	 * compute it, the part that it wants to find.
	 */
	reset.checksum = 0xffff;
	if (bpf_skb_change_tail(skb, offset + sizeof(reset), 0) || swap_macs(skb) ||
	    answer_ip(skb, packet, sizeof(reset)) ||
	    bpf_skb_store_bytes(skb, offset, &reset, sizeof(reset), 0))
		return -1;
	offset += CHECKSUM_OF_TCP;
	reset.checksum = 0;
	return bpf_l4_csum_replace(skb, offset, 0,
				   pseudo_header_sum(&packet->tuple, sizeof(reset), PROTOCOL_TCP),
				   BPF_F_PSEUDO_HDR) ||
	       bpf_l4_csum_replace(skb, offset, 0,
				   bpf_csum_diff(0, 0, (__be32 *)&reset, sizeof(reset), 0), 0);
}

/* The sum of bytes of the packet. Not static, see parse_packet. */
__noinline __u32 skb_sum(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	__be32 chunk[REJECT_CHUNK / 4];
	__u32 sum = 0;

	for (int i = 0; i < REJECT_CHUNKS && length >= REJECT_CHUNK; i++) {
		if (bpf_skb_load_bytes(skb, offset, chunk, sizeof(chunk)))
			return 0;
		sum = bpf_csum_diff(0, 0, chunk, sizeof(chunk), sum);
		offset += REJECT_CHUNK;
		length -= REJECT_CHUNK;
	}
	length &= REJECT_CHUNK - 1;
	if (length == 0)
		return sum;
	__builtin_memset(chunk, 0, sizeof(chunk));
	if (bpf_skb_load_bytes(skb, offset, chunk, length))
		return 0;
	return bpf_csum_diff(0, 0, chunk, sizeof(chunk), sum);
}

static __always_inline int error_ipv4(struct __sk_buff *skb, const struct packet *packet,
				      const struct icmp_start *icmp, __u32 quoted)
{
	struct {
		struct iphdr ip;
		struct icmp_start icmp;
	} answer = {};
	__u32 sum;

	if (bpf_skb_adjust_room(skb, sizeof(answer), BPF_ADJ_ROOM_MAC, 0))
		return -1;
	answer.icmp = *icmp;
	sum = skb_sum(skb, ETH_HLEN + sizeof(answer), quoted);
	sum = bpf_csum_diff(0, 0, (__be32 *)&answer.icmp, sizeof(answer.icmp), sum);
	answer.icmp.checksum = ~sum_fold(sum);
	answer.ip.version = 4;
	answer.ip.ihl = sizeof(answer.ip) / 4;
	answer.ip.ttl = REJECT_TTL;
	answer.ip.protocol = PROTOCOL_ICMP;
	answer.ip.frag_off = bpf_htons(0x4000); /* don't fragment */
	answer.ip.tot_len = bpf_htons(sizeof(answer) + quoted);
	answer.ip.saddr = address_word(&packet->tuple.destination, 3);
	answer.ip.daddr = address_word(&packet->tuple.source, 3);
	answer.ip.check =
		~sum_fold(bpf_csum_diff(0, 0, (__be32 *)&answer.ip, sizeof(answer.ip), 0));
	return bpf_skb_store_bytes(skb, ETH_HLEN, &answer, sizeof(answer), 0);
}

static __always_inline int error_ipv6(struct __sk_buff *skb, const struct packet *packet,
				      const struct icmp_start *icmp, __u32 quoted)
{
	struct {
		struct ipv6hdr ip;
		struct icmp_start icmp;
	} answer = {};
	__u32 sum;

	if (bpf_skb_adjust_room(skb, sizeof(answer), BPF_ADJ_ROOM_MAC, 0))
		return -1;
	answer.icmp = *icmp;
	sum = skb_sum(skb, ETH_HLEN + sizeof(answer), quoted);
	sum = bpf_csum_diff(0, 0, (__be32 *)&answer.icmp, sizeof(answer.icmp), sum);
	sum = sum_add(sum, pseudo_header_sum(&packet->tuple, sizeof(answer.icmp) + quoted,
					     PROTOCOL_ICMPV6));
	answer.icmp.checksum = ~sum_fold(sum);
	answer.ip.version = 6;
	answer.ip.hop_limit = REJECT_TTL;
	answer.ip.nexthdr = PROTOCOL_ICMPV6;
	answer.ip.payload_len = bpf_htons(sizeof(answer.icmp) + quoted);
	__builtin_memcpy(&answer.ip.saddr, &packet->tuple.destination, sizeof(struct address));
	__builtin_memcpy(&answer.ip.daddr, &packet->tuple.source, sizeof(struct address));
	return bpf_skb_store_bytes(skb, ETH_HLEN, &answer, sizeof(answer), 0);
}

/*
 * Makes the packet an ICMP error about itself, to be sent back to where it came from: MACs
 * and addresses are exchanged. `icmp` has type, code and second word, and a checksum of
 * zero; `packet->tuple` is what the packet has. Not static, see parse_packet.
 * @return 0; else there is nothing to send, and the packet is of no use any more
 */
__noinline int reject_with(struct __sk_buff *skb, const struct packet *packet,
			   const struct icmp_start *icmp)
{
	__u32 limit, quoted;

	if (!packet || !icmp || packet->fragment != FRAGMENT_NONE ||
	    packet->icmp_kind != KIND_NOT_ICMP)
		return -1;
	limit = packet->family == 4 ? REJECT_QUOTE_IPV4 : REJECT_QUOTE_IPV6;
	quoted = packet->end - ETH_HLEN;
	if (quoted > limit)
		quoted = limit;
	/* What is cut off takes the packet's segmentation with it. */
	if (bpf_skb_change_tail(skb, ETH_HLEN + quoted, 0) || swap_macs(skb))
		return -1;
	return packet->family == 4 ? error_ipv4(skb, packet, icmp, quoted)
				   : error_ipv6(skb, packet, icmp, quoted);
}

/* As `reject_with`, with the refusal of a port where nobody is: for TCP a reset. */
static __always_inline int reject(struct __sk_buff *skb, const struct packet *packet)
{
	struct icmp_start icmp = {};

	if (packet->tuple.protocol == PROTOCOL_TCP)
		return reject_tcp(skb, packet);
	icmp.type = packet->family == 4 ? ICMP_UNREACHABLE : ICMPV6_UNREACHABLE;
	icmp.code = packet->family == 4 ? UNREACHABLE_PORT_IPV4 : UNREACHABLE_PORT_IPV6;
	return reject_with(skb, packet, &icmp);
}

#endif
