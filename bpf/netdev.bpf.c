// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The device program: what comes to the node from outside, and what leaves it.
 *
 * from_netdev runs on tcx (or clsact) ingress of the devices that outside
 * clients come by, to_netdev on their egress. A packet that has nothing to do
 * with a service passes both untouched, whatever may be wrong with it: it is for
 * the stack, or for the pod program, to judge.
 */
#include <linux/if_packet.h>

#include "lib/bpf.h"
#include "lib/address.h"
#include "lib/verdict.h"
#include "lib/parse.h"
#include "lib/endpoint.h"
#include "lib/fragment.h"
#include "lib/identity.h"
#include "lib/mac.h"
#include "lib/outside.h"
#include "lib/packet-event.h"
#include "lib/reject.h"
#include "lib/schema.h"
#include "lib/take-direct.h"

/* A packet that goes no further, for the counters and the flow log. */
static __noinline int drop(struct __sk_buff *skb, const struct packet *packet,
			   enum drop_reason reason, __u32 service)
{
	struct outcome outcome = {
		.verdict = VERDICT_DROPPED,
		.reason = reason,
		.direction = DIRECTION_INGRESS,
		.report = EVENT_DROP,
		.service = service,
	};

	outcome.identity[0] = sender_identity(&packet->tuple.source, 0, false);
	outcome.identity[1] = identity_of(&packet->tuple.destination, 0);
	count_packet(VERDICT_DROPPED, reason, DIRECTION_INGRESS, packet->length);
	if (flow_events)
		event_send(skb, packet, &outcome);
	return TC_DROP;
}

/* The tuple that the packet is translated by. @return false when nothing can be said of it */
static __always_inline bool name_tuple(struct __sk_buff *skb, struct packet *packet,
				       struct tuple *tuple)
{
	struct tuple quoted = {};

	if (packet->fragment != FRAGMENT_NONE && fragment_track(packet) != DROP_NONE)
		return false;
	if (packet->icmp_kind != KIND_ERROR) {
		*tuple = packet->tuple;
		return has_ports(tuple->protocol);
	}
	if (packet->fragment == FRAGMENT_LATER || !parse_quoted(skb, packet, &quoted) ||
	    !address_equal(&quoted.source, &packet->tuple.destination))
		return false;
	tuple_turn(tuple, &quoted);
	return has_ports(tuple->protocol);
}

static __always_inline enum drop_reason
rewrite_by(struct __sk_buff *skb, const struct packet *packet, const struct rewrite *rewrite)
{
	return rewrite_any(skb, packet, &rewrite->from, &rewrite->entry.target);
}

/* Tells the sender what became of its packet. */
static __always_inline int refuse_with(struct __sk_buff *skb, const struct packet *packet,
				       const struct icmp_start *icmp)
{
	return reject_with(skb, packet, icmp) ? TC_DROP : bpf_redirect(skb->ifindex, 0);
}

static __noinline int hop_limit_reached(struct __sk_buff *skb, const struct packet *packet,
					__u32 service)
{
	struct icmp_start icmp = {
		.type = packet->family == 4 ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEEDED,
	};

	drop(skb, packet, DROP_TTL_EXCEEDED, service);
	return refuse_with(skb, packet, &icmp);
}

static __noinline int too_big(struct __sk_buff *skb, const struct packet *packet, __u32 service,
			      __u16 mtu)
{
	struct icmp_start icmp = {
		.type = packet->family == 4 ? ICMP_UNREACHABLE : ICMPV6_PACKET_TOO_BIG,
		.code = packet->family == 4 ? UNREACHABLE_TOO_BIG_IPV4 : 0,
		.sequence = bpf_htons(mtu),
	};

	drop(skb, packet, DROP_PACKET_TOO_BIG, service);
	return refuse_with(skb, packet, &icmp);
}

/* To a pod's device, with what it is to get: the pod program judges it there. */
static __always_inline int to_pod_device(struct __sk_buff *skb, const struct packet *packet,
					 const struct endpoint *endpoint, __u32 service)
{
	struct ethhdr macs;

	copy_host_mac(macs.h_source);
	__builtin_memcpy(macs.h_dest, endpoint->mac, ETH_ALEN);
	if (hop_to(skb, packet, &macs))
		return drop(skb, packet, DROP_INVALID_PACKET, service);
	return bpf_redirect(endpoint->ifindex, 0);
}

/* @return 0, or what the pod's device takes at most: it would drop the packet without a word */
static __always_inline __u32 mtu_exceeded(struct __sk_buff *skb, const struct endpoint *endpoint)
{
	__u32 mtu = 0;

	return bpf_check_mtu(skb, endpoint->ifindex, &mtu, 0, 0) == BPF_MTU_CHK_RET_FRAG_NEEDED
		       ? mtu
		       : 0;
}

/* Past the stack, as the pod's answers go: its connection tracking sees both ways or none. */
static __noinline int to_local_pod(struct __sk_buff *skb, struct packet *packet,
				   struct rewrite *rewrite, const struct endpoint *endpoint)
{
	__u32 service = rewrite->entry.service;
	__u32 mtu = mtu_exceeded(skb, endpoint);
	enum drop_reason reason;

	if (mtu)
		return too_big(skb, packet, service, mtu);
	reason = rewrite_by(skb, packet, rewrite);
	return reason == DROP_NONE ? to_pod_device(skb, packet, endpoint, service)
				   : drop(skb, packet, reason, service);
}

/* To a backend elsewhere, or an answer of one to its client. */
static __noinline int send_on(struct __sk_buff *skb, struct packet *packet, struct rewrite *rewrite)
{
	const struct tuple *to = &rewrite->entry.target;
	__u32 service = rewrite->entry.service;
	enum drop_reason reason;
	struct bpf_fib_lookup fib;
	struct ethhdr macs = {};
	bool tells = tells_frontend(packet, rewrite);
	int found;

	found = route_to(skb, packet, to,
			 tells ? packet->end - ETH_HLEN + direct_return_bytes(packet) : 0, &fib);
	if (tells && found == BPF_FIB_LKUP_RET_FRAG_NEEDED) {
		/* The other node knows from what came before. */
		tells = false;
		found = route_to(skb, packet, to, 0, &fib);
	}
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return too_big(skb, packet, service, fib.mtu_result);
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return drop(skb, packet, DROP_NO_FIB, service);
	reason = rewrite_by(skb, packet, rewrite);
	if (reason == DROP_NONE && hop_to(skb, packet, &macs))
		reason = DROP_INVALID_PACKET;
	if (reason == DROP_NONE && tells)
		reason = direct_return_add(skb, packet, &rewrite->from);
	if (reason != DROP_NONE)
		return drop(skb, packet, reason, service);
	count_packet(VERDICT_FORWARDED, DROP_NONE, DIRECTION_UNKNOWN, packet->length);
	return redirect_by(&fib);
}

/* Where a translated packet goes on to. */
static __always_inline int forward(struct __sk_buff *skb, struct packet *packet,
				   struct rewrite *rewrite)
{
	const struct tuple *to = &rewrite->entry.target;
	bool elsewhere = rewrite->entry.flags & (TRANSLATION_SOURCE | TRANSLATION_DIRECT);
	struct endpoint *endpoint = elsewhere ? 0 : endpoint_lookup(&to->destination);
	enum drop_reason reason;

	if (endpoint || elsewhere) {
		if (packet->ttl <= 1)
			return hop_limit_reached(skb, packet, rewrite->entry.service);
		return endpoint ? to_local_pod(skb, packet, rewrite, endpoint)
				: send_on(skb, packet, rewrite);
	}
	/* For a process of the node, or a pod that has just gone. */
	reason = rewrite_by(skb, packet, rewrite);
	return reason == DROP_NONE ? TC_PASS : drop(skb, packet, reason, rewrite->entry.service);
}

/* It is what the client sent by now: nothing is left to translate. */
static __always_inline int deliver_direct(struct __sk_buff *skb, struct packet *packet)
{
	struct endpoint *endpoint = endpoint_lookup(&packet->tuple.destination);

	if (!endpoint)
		return TC_PASS;
	if (packet->ttl <= 1)
		return hop_limit_reached(skb, packet, 0);
	return to_pod_device(skb, packet, endpoint, 0);
}

SEC("tc")
int from_netdev(struct __sk_buff *skb)
{
	enum drop_reason reason = DROP_NONE;
	struct packet packet = {};
	struct rewrite *rewrite;
	int result;

	/* What a switch floods is for others. */
	if (skb->pkt_type != PACKET_HOST || parse_packet(skb, &packet) != DROP_NONE)
		return TC_PASS;
	rewrite = rewrite_room();
	if (!rewrite || !name_tuple(skb, &packet, &rewrite->from))
		return TC_PASS;
	if (has_options(&packet) && take_direct(skb, &packet, rewrite, &reason))
		return reason == DROP_NONE ? deliver_direct(skb, &packet)
					   : drop(skb, &packet, reason, 0);
	result = translate_outside(skb, &packet, rewrite, bpf_ktime_get_coarse_ns());
	switch (result) {
	case TRANSLATE_NOTHING:
		return TC_PASS;
	case TRANSLATE_KNOWN:
	case TRANSLATE_OPENED:
		return forward(skb, &packet, rewrite);
	case TRANSLATE_REJECT:
		drop(skb, &packet, DROP_NO_SERVICE, rewrite->entry.service);
		return reject(skb, &packet) ? TC_DROP : bpf_redirect(skb->ifindex, 0);
	case TRANSLATE_DROP:
		return drop(skb, &packet, DROP_NO_SERVICE, rewrite->entry.service);
	default:
		return drop(skb, &packet, -result, rewrite->entry.service);
	}
}

/* What the node itself answers for a service, or says of what it was sent for one. */
SEC("tc")
int to_netdev(struct __sk_buff *skb)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct translation *entry;
	struct packet packet = {};
	struct rewrite *rewrite;
	enum drop_reason reason;

	/* What others send has been translated where it came in, and may have the tuple of another connection by now. */
	if (skb->ingress_ifindex || parse_packet(skb, &packet) != DROP_NONE)
		return TC_PASS;
	rewrite = rewrite_room();
	if (!rewrite || !name_tuple(skb, &packet, &rewrite->from))
		return TC_PASS;
	entry = translation_lookup(&rewrite->from, now);
	if (!entry ||
	    (entry->flags & (TRANSLATION_REPLY | TRANSLATION_SOURCE)) != TRANSLATION_REPLY)
		return TC_PASS;
	translation_use(rewrite, entry, packet.tcp_flags, now);
	reason = rewrite_by(skb, &packet, rewrite);
	return reason == DROP_NONE ? TC_PASS : drop(skb, &packet, reason, rewrite->entry.service);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
