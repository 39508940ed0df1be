/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Where a packet of a pod that may go on goes on to: another pod of this node, the stack, or,
 * if it is an answer that is translated, past the stack.
 */
#ifndef AXONEME_DELIVER_H
#define AXONEME_DELIVER_H

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "endpoint.h"
#include "event.h"
#include "forward.h"
#include "mac.h"
#include "rewrite.h"
#include "translation.h"

/* One hop further, as a router would. @return the frame's header; 0 when it is not there */
static __always_inline struct ethhdr *hop(struct __sk_buff *skb, const struct packet *packet)
{
	struct ethhdr *eth;

	if (bpf_skb_pull_data(skb, ETH_HLEN + (packet->family == 4 ? sizeof(struct iphdr)
								   : sizeof(struct ipv6hdr))))
		return 0;
	eth = (void *)(long)skb->data;
	if (packet->family == 4) {
		struct iphdr *ip = (void *)(eth + 1);
		__u32 sum;

		if ((void *)(ip + 1) > (void *)(long)skb->data_end)
			return 0;
		/* RFC 1624, for a decrement of the TTL */
		sum = (__u32)ip->check + bpf_htons(0x0100);
		ip->check = (__u16)(sum + (sum >= 0xffff));
		ip->ttl--;
	} else {
		struct ipv6hdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > (void *)(long)skb->data_end)
			return 0;
		ip->hop_limit--;
	}
	return eth;
}

/*
 * Straight into another pod of this node. A packet whose last hop this is goes to the
 * stack, which answers it with an ICMP error.
 */
static __always_inline int deliver(struct __sk_buff *skb, const struct packet *packet,
				   const struct endpoint *endpoint)
{
	struct ethhdr *eth = hop(skb, packet);

	if (!eth)
		return TC_DROP;
	copy_host_mac(eth->h_source);
	__builtin_memcpy(eth->h_dest, endpoint->mac, ETH_ALEN);
	return bpf_redirect_peer(endpoint->ifindex, 0);
}

/* Not static, see parse_packet. @return a drop reason */
__noinline int translate_answer(struct __sk_buff *skb, const struct packet *packet)
{
	const struct rewrite *rewrite = rewrite_room();

	if (!packet || !rewrite)
		return DROP_INVALID_PACKET;
	return rewrite_any(skb, packet, &rewrite->from, &rewrite->entry.target);
}

/*
 * An answer that is translated goes to a client elsewhere by the node's routes, but not
 * through its stack: that would not forward what comes from an address of its own. What
 * the stack is to answer with an error, because it is too large or this its last hop, it
 * gets as the pod sent it.
 */
static __noinline int answer_outside(struct __sk_buff *skb, const struct packet *packet,
				     const struct rewrite *rewrite, enum drop_reason *reason)
{
	const struct tuple *to = &rewrite->entry.target;
	struct bpf_fib_lookup fib;
	int found;

	if (packet->ttl <= 1)
		return TC_PASS;
	found = route_to(skb, packet, to, 0, &fib);
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return TC_PASS;
	*reason = DROP_NO_FIB;
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return TC_DROP;
	*reason = translate_answer(skb, packet);
	if (*reason == DROP_NONE && !hop(skb, packet))
		*reason = DROP_INVALID_PACKET;
	if (*reason != DROP_NONE)
		return TC_DROP;
	return redirect_by(&fib);
}

/* Where a packet that may go on goes on to. */
static __always_inline int forward(struct __sk_buff *skb, const struct packet *packet,
				   struct outcome *outcome)
{
	struct rewrite *rewrite = outcome->rewrite == REWRITE_AHEAD ? rewrite_room() : 0;
	struct endpoint *destination = endpoint_lookup(rewrite ? &rewrite->entry.target.destination
							       : &packet->tuple.destination);

	if (destination && packet->ttl > 1) {
		outcome->observation = OBSERVED_TO_ENDPOINT;
		if (rewrite)
			outcome->reason = translate_answer(skb, packet);
		if (outcome->reason == DROP_NONE)
			return deliver(skb, packet, destination);
	} else if (rewrite && !destination) {
		return answer_outside(skb, packet, rewrite, &outcome->reason);
	}
	return TC_PASS;
}

#endif
