/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Forwarding past the node's stack, as a router does it: by the node's routes, one
 * hop further. The stack would take what has an address of its own for forged.
 */
#ifndef AXONEME_FORWARD_H
#define AXONEME_FORWARD_H

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "frame.h"
#include "mac.h"
#include "packet.h"

/* One hop less to live, and the MACs of the next. @return 0, or an error */
static __always_inline int hop_to(struct __sk_buff *skb, const struct packet *packet,
				  const struct ethhdr *macs)
{
	__u8 left = packet->ttl - 1;
	__be16 old, new;

	if (bpf_skb_store_bytes(skb, 0, macs, 2 * ETH_ALEN, 0))
		return -1;
	if (packet->family == 6)
		return bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, hop_limit),
					   &left, sizeof(left), 0);
	if (bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, ttl), &old, sizeof(old)))
		return -1;
	new = old;
	*(__u8 *)&new = left;
	if (bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct iphdr, ttl), &left, sizeof(left),
				0))
		return -1;
	return bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), old, new,
				   sizeof(old));
}

/*
 * The way to `to->destination`. @return enum BPF_FIB_LKUP_RET_*
 * @param length of the packet from its IP header on; 0: what it has now
 */
static __always_inline int route_to(struct __sk_buff *skb, const struct packet *packet,
				    const struct tuple *to, __u16 length,
				    struct bpf_fib_lookup *fib)
{
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->family = packet->family == 4 ? AF_INET : AF_INET6;
	fib->l4_protocol = to->protocol;
	fib->ifindex = frame_device(skb);
	fib->tot_len = length;
	if (packet->family == 4) {
		fib->ipv4_src = address_word(&to->source, 3);
		fib->ipv4_dst = address_word(&to->destination, 3);
	} else {
		__builtin_memcpy(fib->ipv6_src, &to->source, sizeof(fib->ipv6_src));
		__builtin_memcpy(fib->ipv6_dst, &to->destination, sizeof(fib->ipv6_dst));
	}
	return bpf_fib_lookup(skb, fib, sizeof(*fib), 0);
}

/* By the way that `route_to` found. The kernel knows, or asks for, the next hop's MAC. */
static __always_inline int redirect_by(const struct bpf_fib_lookup *fib)
{
	struct bpf_redir_neigh next = { .nh_family = fib->family };

	__builtin_memcpy(next.ipv6_nh, fib->ipv6_dst, sizeof(next.ipv6_nh));
	return bpf_redirect_neigh(fib->ifindex, &next, sizeof(next), 0);
}

#endif
