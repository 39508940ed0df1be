/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Answers a pod's ARP requests and neighbour solicitations: every address but
 * the pod's own is behind the node's side of the veth pair, which has the same
 * MAC for every pod.
 */
#ifndef AXONEME_NEIGHBOUR_H
#define AXONEME_NEIGHBOUR_H

#include "endpoint.h"
#include "mac.h"
#include "packet.h"
#include "verdict.h"

#define ND_HOP_LIMIT 255
#define ND_TARGET_LINK_LAYER 2
#define ND_FLAG_SOLICITED 0x40
#define ND_FLAG_OVERRIDE 0x20

enum arp_constant {
	ARP_HARDWARE_ETHERNET = 1,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
};

struct arp_ipv4 {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__u8 sender_ip[4];
	__u8 target_mac[ETH_ALEN];
	__u8 target_ip[4];
} __attribute__((packed));

struct arp_frame {
	struct ethhdr eth;
	struct arp_ipv4 arp;
} __attribute__((packed));

struct nd_message {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__u8 flags;
	__u8 reserved[3];
	struct in6_addr target;
} __attribute__((packed));

struct nd_option {
	__u8 type;
	__u8 length; /* units of 8 bytes */
	__u8 mac[ETH_ALEN];
} __attribute__((packed));

struct nd_frame {
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct nd_message nd;
	struct nd_option option;
} __attribute__((packed));

/* Back into the pod that asked. */
static __always_inline int answer_pod(struct __sk_buff *skb)
{
	bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(skb->ifindex, 0);
}

/*
 * An ARP packet from a pod. A request is answered in place; a probe for the
 * pod's own address (RFC 5227) gets no answer; a sender that is not the pod is
 * refused.
 */
static __noinline int arp_from_pod(struct __sk_buff *skb, enum drop_reason *reason)
{
	struct arp_frame *frame;
	struct address sender;
	struct endpoint *endpoint;
	__be32 sender_ip, target_ip;

	*reason = DROP_INVALID_PACKET;
	if (bpf_skb_pull_data(skb, sizeof(*frame)))
		return TC_DROP;
	frame = (void *)(long)skb->data;
	if ((void *)(frame + 1) > (void *)(long)skb->data_end)
		return TC_DROP;
	if (frame->arp.hardware != bpf_htons(ARP_HARDWARE_ETHERNET) ||
	    frame->arp.protocol != bpf_htons(ETH_P_IP) || frame->arp.hardware_length != ETH_ALEN ||
	    frame->arp.protocol_length != 4)
		return TC_DROP;

	__builtin_memcpy(&sender_ip, frame->arp.sender_ip, sizeof(sender_ip));
	__builtin_memcpy(&target_ip, frame->arp.target_ip, sizeof(target_ip));
	*reason = DROP_NONE;
	/* A probe: the pod asks whether anybody else has its address. Nobody has. */
	if (sender_ip == 0)
		return TC_DROP;

	*reason = DROP_INVALID_SOURCE_IP;
	address_from_ipv4(&sender, sender_ip);
	endpoint = endpoint_lookup(&sender);
	if (!endpoint || endpoint->ifindex != skb->ifindex)
		return TC_DROP;
	*reason = DROP_INVALID_SOURCE_MAC;
	if (!mac_equal(frame->arp.sender_mac, endpoint->mac) ||
	    !mac_equal(frame->eth.h_source, endpoint->mac))
		return TC_DROP;
	*reason = DROP_NONE;
	if (frame->arp.operation != bpf_htons(ARP_REQUEST) || target_ip == sender_ip)
		return TC_DROP;

	frame->arp.operation = bpf_htons(ARP_REPLY);
	__builtin_memcpy(frame->eth.h_dest, endpoint->mac, ETH_ALEN);
	copy_host_mac(frame->eth.h_source);
	__builtin_memcpy(frame->arp.target_mac, endpoint->mac, ETH_ALEN);
	copy_host_mac(frame->arp.sender_mac);
	__builtin_memcpy(frame->arp.target_ip, &sender_ip, sizeof(sender_ip));
	__builtin_memcpy(frame->arp.sender_ip, &target_ip, sizeof(target_ip));
	return answer_pod(skb);
}

static __always_inline __u16 fold_checksum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/*
 * A neighbour solicitation from a pod's own or link-local address, from which it asks
 * whether the gateway is still there, answered in place (RFC 4861 4.4). Only one that
 * is whole and stands right behind the IP header is valid here.
 */
static __noinline int solicitation_from_pod(struct __sk_buff *skb, const struct packet *packet,
					    enum drop_reason *reason)
{
	struct address asker, target;
	struct nd_frame *frame;
	struct {
		struct address source, destination;
		__be32 length, next;
		struct nd_message nd;
		struct nd_option option;
	} __attribute__((packed)) pseudo = {};

	*reason = DROP_INVALID_PACKET;
	if (packet->l4_offset != offsetof(struct nd_frame, nd) ||
	    packet->end < offsetof(struct nd_frame, option))
		return TC_DROP;
	if (skb->len < sizeof(*frame) && bpf_skb_change_tail(skb, sizeof(*frame), 0))
		return TC_DROP;
	if (bpf_skb_pull_data(skb, sizeof(*frame)))
		return TC_DROP;
	frame = (void *)(long)skb->data;
	if ((void *)(frame + 1) > (void *)(long)skb->data_end)
		return TC_DROP;
	if (frame->nd.type != ICMPV6_NEIGHBOUR_SOLICITATION || frame->nd.code != 0 ||
	    frame->ip.hop_limit != ND_HOP_LIMIT)
		return TC_DROP;
	*reason = DROP_NONE;
	__builtin_memcpy(&asker, &frame->ip.saddr, sizeof(asker));
	__builtin_memcpy(&target, &frame->nd.target, sizeof(target));
	if (address_equal(&asker, &target))
		return TC_DROP;

	__builtin_memcpy(frame->eth.h_dest, frame->eth.h_source, ETH_ALEN);
	copy_host_mac(frame->eth.h_source);
	__builtin_memcpy(&frame->ip.saddr, &target, sizeof(target));
	__builtin_memcpy(&frame->ip.daddr, &asker, sizeof(asker));
	frame->ip.payload_len = bpf_htons(sizeof(frame->nd) + sizeof(frame->option));
	frame->nd.type = ICMPV6_NEIGHBOUR_ADVERTISEMENT;
	frame->nd.flags = ND_FLAG_SOLICITED | ND_FLAG_OVERRIDE;
	__builtin_memset(frame->nd.reserved, 0, sizeof(frame->nd.reserved));
	frame->nd.checksum = 0;
	frame->option.type = ND_TARGET_LINK_LAYER;
	frame->option.length = 1;
	copy_host_mac(frame->option.mac);

	pseudo.source = target;
	pseudo.destination = asker;
	pseudo.length = bpf_htonl(sizeof(frame->nd) + sizeof(frame->option));
	pseudo.next = bpf_htonl(PROTOCOL_ICMPV6);
	__builtin_memcpy(&pseudo.nd, &frame->nd, sizeof(frame->nd));
	__builtin_memcpy(&pseudo.option, &frame->option, sizeof(frame->option));
	frame->nd.checksum =
		fold_checksum(bpf_csum_diff(0, 0, (__be32 *)&pseudo, sizeof(pseudo), 0));
	if (skb->len > sizeof(*frame))
		bpf_skb_change_tail(skb, sizeof(*frame), 0);
	return answer_pod(skb);
}

static __always_inline bool is_discovery(const struct packet *packet)
{
	return packet->icmp_kind == KIND_NEIGHBOUR && packet->fragment == FRAGMENT_NONE;
}

/* What a router does not forward: it needs no policy, because it goes no further than this node. */
static __always_inline bool stays_on_link(const struct packet *packet)
{
	return address_is_link_multicast(&packet->tuple.destination) ||
	       address_is_link_local(&packet->tuple.destination);
}

/* What a pod needs before it has a usable address: DAD, router and neighbour discovery, listener reports. */
static __always_inline bool is_unaddressed_discovery(const struct packet *packet)
{
	return is_discovery(packet) && stays_on_link(packet) &&
	       (address_is_unspecified(&packet->tuple.source) ||
		address_is_link_local(&packet->tuple.source));
}

/*
 * The node advertises itself as a router to no pod, and its stack remembers every
 * asker as a neighbour: a pod could fill the table that all its devices share.
 */
static __always_inline bool is_router_solicitation(const struct packet *packet)
{
	return packet->icmp_kind == KIND_NEIGHBOUR &&
	       packet->icmp_type == ICMPV6_ROUTER_SOLICITATION;
}

static __always_inline bool is_solicitation(const struct packet *packet)
{
	return packet->icmp_kind == KIND_NEIGHBOUR &&
	       packet->icmp_type == ICMPV6_NEIGHBOUR_SOLICITATION;
}

#endif
