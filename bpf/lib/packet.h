/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * From bytes to a packet description: addresses, ports, what kind of packet it
 * is. Nothing here decides; it only refuses what can not be described safely.
 * One description serves both families.
 */
#ifndef AXONEME_PACKET_H
#define AXONEME_PACKET_H

#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "address.h"
#include "frame.h"
#include "verdict.h"

#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET_MASK 0x1fff
#define IPV6_MORE_FRAGMENTS 0x0001
#define IPV6_OFFSET_MASK 0xfff8
#define IPV4_OPTIONS_MAX 40
#define IPV6_EXTENSIONS_MAX 8

enum ip_protocol {
	PROTOCOL_ICMP = 1,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_ICMPV6 = 58,
	PROTOCOL_SCTP = 132,
};

enum icmp_type {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
};

enum icmpv6_type {
	ICMPV6_UNREACHABLE = 1,
	ICMPV6_PACKET_TOO_BIG = 2,
	ICMPV6_TIME_EXCEEDED = 3,
	ICMPV6_PARAMETER_PROBLEM = 4,
	ICMPV6_ECHO_REQUEST = 128,
	ICMPV6_ECHO_REPLY = 129,
	ICMPV6_LISTENER_REPORT = 131,
	ICMPV6_LISTENER_DONE = 132,
	ICMPV6_ROUTER_SOLICITATION = 133,
	ICMPV6_NEIGHBOUR_SOLICITATION = 135,
	ICMPV6_NEIGHBOUR_ADVERTISEMENT = 136,
	ICMPV6_LISTENER_REPORT_V2 = 143,
};

enum ipv6_extension {
	EXTENSION_HOP_BY_HOP = 0,
	EXTENSION_ROUTING = 43,
	EXTENSION_FRAGMENT = 44,
	EXTENSION_AUTHENTICATION = 51,
	EXTENSION_NONE = 59,
	EXTENSION_DESTINATION = 60,
};

enum ipv4_option {
	OPTION_END = 0,
	OPTION_NOTHING = 1,
	OPTION_LOOSE_ROUTE = 131,
	OPTION_STRICT_ROUTE = 137,
};

enum tcp_flag {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
};

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

struct l4_ports {
	__be16 source;
	__be16 destination;
};

struct tcp_start {
	struct l4_ports ports;
	__be32 sequence;
	__be32 acknowledgment;
	__u8 data_offset;
	__u8 flags;
};

struct icmp_start {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 identifier;
	__be16 sequence;
};

struct ipv6_extension_start {
	__u8 next;
	__u8 length; /* in units that the kind of header defines */
	__u8 routing_type;
	__u8 segments_left; /* of a routing header */
};

struct ipv6_fragment {
	__u8 next;
	__u8 reserved;
	__be16 offset;
	__be32 identification;
};

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

const enum icmp_kind *anchor_icmp_kind __attribute__((unused));

#endif
