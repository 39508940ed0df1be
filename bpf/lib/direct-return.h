/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Direct return (DSR): a packet that one node sends on to a backend of another tells
 * that one, in an option of its IP header, which frontend the client asked for. So the
 * other node answers the client itself, under the frontend's address.
 *
 * IPv4: an option of 8 bytes, first behind the fixed header. IPv6: a destination option
 * in a header of its own, of 24 bytes, likewise. Both have the numbers that RFC 4727
 * leaves for experiments; who does not know them steps over them (the high bits say so).
 */
#ifndef AXONEME_DIRECT_RETURN_H
#define AXONEME_DIRECT_RETURN_H

#include "packet.h"
#include "rewrite.h"

enum direct_return_option {
	DIRECT_OPTION_IPV4 = 0x9e, /* copied into fragments, number 30 */
	DIRECT_OPTION_IPV6 = 0x1e, /* skip when unknown, does not change on the way */
};

struct direct_ipv4 {
	__u8 type;
	__u8 length; /* of the whole option */
	__be16 port;
	__be32 address;
};

struct direct_ipv6 {
	__u8 next;
	__u8 header_length; /* 8-byte units beyond the first */
	__u8 type;
	__u8 length; /* of what follows */
	__be16 port;
	__u8 address[16];
	__u8 pad[2]; /* PadN of nothing */
} __attribute__((packed));

static __always_inline __u32 direct_return_bytes(const struct packet *packet)
{
	return packet->family == 4 ? sizeof(struct direct_ipv4) : sizeof(struct direct_ipv6);
}

/* Not beside other options: IPv4's header may have no room, and what IPv6 wants to be first must stay so. */
static __always_inline bool direct_return_fits(const struct packet *packet)
{
	return packet->l4_offset ==
	       ETH_HLEN + (packet->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

/*
 * The IP header of a packet that has `more` bytes of options, whose own sum is `sum`. What a device
 * summed up is kept right, unlike in other rewrites: the room comes and goes with its bytes in that sum.
 * @return 0, or an error
 */
static __always_inline int grow_ipv4(struct __sk_buff *skb, const struct packet *packet, int more,
				     __u32 sum)
{
	struct iphdr old, ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &old, sizeof(old)))
		return -1;
	ip = old;
	ip.ihl = old.ihl + more / 4;
	ip.tot_len = bpf_htons(packet->end - ETH_HLEN + more);
	sum = bpf_csum_diff((__be32 *)&old, sizeof(old), (__be32 *)&ip, sizeof(ip), sum);
	ip.check = checksum_grow(ip.check, sum);
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int grow_ipv6(struct __sk_buff *skb, const struct packet *packet, int more,
				     __u8 next)
{
	__be16 length = bpf_htons(packet->end - ETH_HLEN - sizeof(struct ipv6hdr) + more);

	return bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, payload_len), &length,
				   sizeof(length), BPF_F_RECOMPUTE_CSUM) ||
	       bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, nexthdr), &next, 1,
				   BPF_F_RECOMPUTE_CSUM);
}

/* Keeps the description right. */
static __always_inline void moved_by(struct packet *packet, int more)
{
	packet->length += more;
	packet->end += more;
	packet->l4_offset += more;
	if (packet->fragment != FRAGMENT_NONE)
		packet->fragment_start += more;
}

/* Not static, see parse_packet. @return a drop reason */
__noinline int direct_return_add(struct __sk_buff *skb, struct packet *packet,
				 const struct tuple *asked)
{
	if (!packet || !asked)
		return DROP_INVALID_PACKET;
	/* The room is made behind the fixed header, whose fields stay ours to set. */
	if (bpf_skb_adjust_room(skb, direct_return_bytes(packet), BPF_ADJ_ROOM_NET,
				BPF_F_ADJ_ROOM_FIXED_GSO))
		return DROP_INVALID_PACKET;
	if (packet->family == 4) {
		struct direct_ipv4 option = {
			.type = DIRECT_OPTION_IPV4,
			.length = sizeof(option),
			.port = asked->destination_port,
			.address = address_word(&asked->destination, 3),
		};
		__be32 words[2];

		__builtin_memcpy(words, &option, sizeof(words));
		if (bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(struct iphdr), words, sizeof(words),
					BPF_F_RECOMPUTE_CSUM) ||
		    grow_ipv4(skb, packet, sizeof(option),
			      bpf_csum_diff(0, 0, words, sizeof(words), 0)))
			return DROP_INVALID_PACKET;
	} else {
		struct direct_ipv6 option = {
			.header_length = sizeof(option) / 8 - 1,
			.type = DIRECT_OPTION_IPV6,
			.length = sizeof(option.port) + sizeof(option.address),
			.port = asked->destination_port,
			.pad = { 1, 0 },
		};

		__builtin_memcpy(option.address, &asked->destination, sizeof(option.address));
		if (bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, nexthdr),
				       &option.next, 1) ||
		    bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(struct ipv6hdr), &option,
					sizeof(option), BPF_F_RECOMPUTE_CSUM) ||
		    grow_ipv6(skb, packet, sizeof(option), EXTENSION_DESTINATION))
			return DROP_INVALID_PACKET;
	}
	moved_by(packet, direct_return_bytes(packet));
	return DROP_NONE;
}

/* Which frontend the packet says that it was sent to. @return false when it says nothing */
static __always_inline bool direct_return_read(struct __sk_buff *skb, const struct packet *packet,
					       struct address *address, __be16 *port)
{
	if (packet->family == 4) {
		struct direct_ipv4 option;

		if (packet->l4_offset < ETH_HLEN + sizeof(struct iphdr) + sizeof(option) ||
		    bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct iphdr), &option,
				       sizeof(option)) ||
		    option.type != DIRECT_OPTION_IPV4 || option.length != sizeof(option))
			return false;
		address_from_ipv4(address, option.address);
		*port = option.port;
		return true;
	} else {
		struct direct_ipv6 option;
		__u8 first;

		if (packet->l4_offset < ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(option) ||
		    bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, nexthdr), &first,
				       1) ||
		    first != EXTENSION_DESTINATION ||
		    bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct ipv6hdr), &option,
				       sizeof(option)) ||
		    option.header_length != sizeof(option) / 8 - 1 ||
		    option.type != DIRECT_OPTION_IPV6 ||
		    option.length != sizeof(option.port) + sizeof(option.address))
			return false;
		__builtin_memcpy(address, option.address, sizeof(*address));
		*port = option.port;
		return !address_is_mapped(address);
	}
}

/* Takes it out of the packet again, which is as the client sent it then. Not static, see parse_packet. @return a drop reason */
__noinline int direct_return_remove(struct __sk_buff *skb, struct packet *packet)
{
	int less;

	if (!packet)
		return DROP_INVALID_PACKET;
	less = -(int)direct_return_bytes(packet);
	if (packet->family == 4) {
		__be32 words[2];

		if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct iphdr), words,
				       sizeof(words)) ||
		    grow_ipv4(skb, packet, less, bpf_csum_diff(words, sizeof(words), 0, 0, 0)))
			return DROP_INVALID_PACKET;
	} else {
		__u8 next;

		if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct ipv6hdr), &next, 1) ||
		    grow_ipv6(skb, packet, less, next))
			return DROP_INVALID_PACKET;
	}
	if (bpf_skb_adjust_room(skb, less, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO))
		return DROP_INVALID_PACKET;
	moved_by(packet, less);
	return DROP_NONE;
}

#endif
