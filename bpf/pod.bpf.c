// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The pod program: every packet that a pod of this node sends or receives.
 *
 * from_pod runs on tcx (or clsact) ingress of the host side of a pod's veth
 * pair, to_pod on its egress, for what comes through the node's own stack. One
 * program serves all pods; what differs is in the maps.
 */
#include "lib/bpf.h"
#include "lib/address.h"
#include "lib/verdict.h"
#include "lib/packet.h"
#include "lib/endpoint.h"
#include "lib/forward.h"
#include "lib/neighbour.h"
#include "lib/packet-event.h"
#include "lib/reject.h"
#include "lib/rewrite.h"
#include "lib/schema.h"
#include "lib/track.h"

/* Whether the packet is its opener's, or about that one's, and goes to a proxy. */
static __always_inline bool goes_to_proxy(const struct outcome *outcome)
{
	return outcome->leg == LEG_TO_PROXY && outcome->flow_direction == FLOW_ORIGINAL;
}

/* The one way out: counts the packet, reports it where there is something to tell. */
static __always_inline int finish(struct __sk_buff *skb, const struct packet *packet,
				  struct outcome *outcome, int action)
{
	outcome->verdict = VERDICT_FORWARDED;
	/* The two that a proxy makes of a connection are one to whoever looks on: it is told once. */
	if (outcome->reason == DROP_NONE && outcome->leg == LEG_FROM_PROXY)
		outcome->report = 0;
	if (outcome->reason != DROP_NONE) {
		action = TC_DROP;
		outcome->verdict = VERDICT_DROPPED;
		outcome->report = outcome->belated ? 0 : EVENT_DROP;
		outcome->observation = OBSERVED_NOWHERE;
	} else if (outcome->audit) {
		outcome->verdict = VERDICT_AUDIT;
		outcome->reason = audit_reason(outcome->audit);
		outcome->direction = audit_direction(outcome->audit);
	} else if (goes_to_proxy(outcome)) {
		outcome->verdict = VERDICT_REDIRECTED;
	}
	count_packet(outcome->verdict, outcome->reason, outcome->direction, packet->length);
	if (outcome->report && flow_events)
		event_send(skb, packet, outcome);
	return action;
}

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

/* @return DROP_NONE when the packet's sender is the pod that the device belongs to */
static __always_inline enum drop_reason
check_sender(struct __sk_buff *skb, const struct packet *packet, const struct endpoint *source)
{
	struct ethhdr eth;

	if (!source || source->ifindex != skb->ifindex)
		return DROP_INVALID_SOURCE_IP;
	if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)))
		return DROP_INVALID_PACKET;
	if (!mac_equal(eth.h_source, source->mac))
		return DROP_INVALID_SOURCE_MAC;
	/* What is for a group may go to a group's MAC; all else is for the node's side. */
	if (!(eth.h_dest[0] & 1) || !address_is_group(&packet->tuple.destination)) {
#pragma unroll
		for (int i = 0; i < ETH_ALEN; i++)
			if (eth.h_dest[i] != host_mac[i])
				return DROP_INVALID_DESTINATION_MAC;
	}
	return DROP_NONE;
}

/*
 * To a proxy of this node, or back to the sender where there is none. What opened the
 * connection is forgotten then: it is told of when it succeeds.
 */
static __noinline int hand_over(struct __sk_buff *skb, const struct packet *packet,
				struct outcome *outcome)
{
	__u32 listener = outcome->leg == LEG_TO_PROXY ? proxy_listener(outcome->proxy, outcome->l7)
						      : PROXY_LISTENER_NONE;
	struct flow_key key = {};

	outcome->reason = steer(skb, packet, listener);
	outcome->observation = OBSERVED_TO_PROXY;
	if (outcome->reason == DROP_NONE)
		return 0;
	/* A proxy has closed its socket, and the other end says its last words. */
	outcome->belated = outcome->flow && flow_is_closed(outcome->flow);
	outcome->refuse = !outcome->belated;
	if (outcome->report == EVENT_NEW) {
		flow_key_init(&key, &packet->tuple);
		key.leg = LEG_TO_PROXY;
		bpf_map_delete_elem(&flows, &key);
	}
	return 0;
}

/*
 * Makes a packet that was translated on its way here, by this program or a device's, what
 * its sender sent, who knows the service and no backend.
 */
static __noinline int restore(struct __sk_buff *skb, struct packet *packet,
			      const struct outcome *outcome)
{
	struct rewrite *rewrite = rewrite_room();
	struct translation *answers;

	if (!rewrite)
		return DROP_NONE;
	if (outcome->rewrite != REWRITE_DONE) {
		if (outcome->flow && !(outcome->flow->flags & FLOW_TRANSLATED))
			return DROP_NONE;
		tuple_turn(&rewrite->back_from, &packet->tuple);
		answers = translation_lookup(&rewrite->back_from, bpf_ktime_get_coarse_ns());
		if (!answers || !(answers->flags & TRANSLATION_REPLY))
			return DROP_NONE;
		tuple_turn(&rewrite->from, &answers->target);
		rewrite->entry.target = packet->tuple;
	}
	packet->tuple = rewrite->from;
	return rewrite_packet(skb, packet, &rewrite->entry.target, &rewrite->from);
}

/* Makes a packet the refusal of itself. @return 0; else there is nothing to send */
static __always_inline int refuse(struct __sk_buff *skb, struct packet *packet,
				  const struct outcome *outcome)
{
	return restore(skb, packet, outcome) ? -1 : reject(skb, packet);
}

/* A packet that was on its way out to the pod, and turned round there. The program has judged it. */
static __noinline int from_bounce(struct __sk_buff *skb, struct packet *packet,
				  struct outcome *outcome)
{
	__u32 bounced_for = skb->mark >> BOUNCED_FOR_SHIFT;
	struct endpoint *destination;

	skb->mark = 0;
	bpf_skb_change_type(skb, PACKET_HOST);
	if (bounced_for == BOUNCED_TO_SENDER)
		return TC_PASS;
	outcome->direction = DIRECTION_INGRESS;
	outcome->reason = parse_packet(skb, packet);
	if (outcome->reason == DROP_NONE) {
		bounced_for &= BOUNCED_FOR_LISTENER;
		outcome->proxy = bounced_for < PROXY_LISTENER_CONTEXT ? bounced_for : PROXY_HTTPS;
		outcome->reason = steer(skb, packet, bounced_for);
	}
	if (outcome->reason == DROP_NONE)
		return TC_PASS;
	destination = endpoint_lookup(&packet->tuple.destination);
	outcome->identity[0] = sender_identity(&packet->tuple.source, 0, false);
	outcome->identity[1] = identity_of(&packet->tuple.destination, destination);
	outcome->endpoint[1] = destination ? destination->id : 0;
	finish(skb, packet, outcome, TC_DROP);
	/* From the pod, by the node's routes. */
	return refuse(skb, packet, outcome) ? TC_DROP : TC_PASS;
}

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct outcome outcome = { .direction = DIRECTION_EGRESS,
				   .observation = OBSERVED_TO_STACK };
	struct packet packet = {};
	struct endpoint *source;
	int action = TC_PASS;

	/* No pod's packet has a mark: it came from another network namespace. */
	if ((skb->mark & MARK_MASK) == MARK_BOUNCED)
		return from_bounce(skb, &packet, &outcome);
	if (skb->protocol == bpf_htons(ETH_P_ARP) && !skb->vlan_present) {
		packet.length = skb->len;
		action = arp_from_pod(skb, &outcome.reason);
		return finish(skb, &packet, &outcome, action);
	}
	outcome.reason = parse_packet(skb, &packet);
	if (outcome.reason != DROP_NONE)
		return finish(skb, &packet, &outcome, TC_DROP);

	if (is_unaddressed_discovery(&packet)) {
		if (is_router_solicitation(&packet))
			action = TC_DROP;
		else if (is_solicitation(&packet) && !address_is_unspecified(&packet.tuple.source))
			action = solicitation_from_pod(skb, &packet, &outcome.reason);
		return finish(skb, &packet, &outcome, action);
	}
	source = endpoint_lookup(&packet.tuple.source);
	outcome.reason = check_sender(skb, &packet, source);
	if (outcome.reason != DROP_NONE || !source)
		return finish(skb, &packet, &outcome, TC_DROP);
	if (is_discovery(&packet)) {
		if (is_solicitation(&packet)) {
			action = solicitation_from_pod(skb, &packet, &outcome.reason);
			return finish(skb, &packet, &outcome, action);
		}
		if (stays_on_link(&packet) || is_host_address(&packet.tuple.destination)) {
			action = is_router_solicitation(&packet) ? TC_DROP : TC_PASS;
			return finish(skb, &packet, &outcome, action);
		}
	}

	track(skb, &packet, (struct maker){}, &outcome);
	if (outcome.reason == DROP_NONE && (outcome.leg != LEG_DIRECT || outcome.for_proxy)) {
		hand_over(skb, &packet, &outcome);
	} else if (outcome.reason == DROP_NONE) {
		action = forward(skb, &packet, &outcome);
		if (action == TC_DROP && outcome.reason == DROP_NONE)
			outcome.reason = DROP_INVALID_PACKET;
	}
	action = finish(skb, &packet, &outcome, action);
	if (outcome.refuse && !refuse(skb, &packet, &outcome))
		return answer_pod(skb);
	return action;
}

SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	struct outcome outcome = { .direction = DIRECTION_INGRESS,
				   .observation = OBSERVED_TO_ENDPOINT };
	/* Never received from anywhere: made by a process, or by the kernel, of this node. */
	bool from_host = skb->ingress_ifindex == 0;
	struct maker maker = {};
	bool to_proxy;
	int action;
	struct endpoint *source, *destination;
	struct packet packet = {};

	if (skb->protocol == bpf_htons(ETH_P_ARP) && from_host)
		return TC_PASS;
	outcome.reason = parse_packet(skb, &packet);
	if (outcome.reason != DROP_NONE)
		return finish(skb, &packet, &outcome, TC_DROP);

	/* The node's own neighbour discovery towards the pod; a router would not forward it. */
	if (from_host && (packet.icmp_kind == KIND_NEIGHBOUR ||
			  address_is_link_multicast(&packet.tuple.destination)))
		return finish(skb, &packet, &outcome, TC_PASS);
	destination = endpoint_lookup(&packet.tuple.destination);
	if (!destination || destination->ifindex != skb->ifindex) {
		outcome.reason = DROP_STALE_IP;
		return finish(skb, &packet, &outcome, TC_DROP);
	}
	/* A pod's address on a packet that came in elsewhere: forged, it would get the pod's rights. */
	source = endpoint_lookup(&packet.tuple.source);
	if ((!from_host && source && source->ifindex != skb->ingress_ifindex) ||
	    is_loopback(&packet.tuple.source)) {
		outcome.reason = DROP_INVALID_SOURCE_IP;
		return finish(skb, &packet, &outcome, TC_DROP);
	}
	/* A proxy has the rights of the one in whose name it speaks, not the node's. */
	maker.accepted = from_host && (skb->mark & MARK_MASK) == MARK_ACCEPTED;
	maker.proxy = maker.accepted || (from_host && (skb->mark & MARK_MASK) == MARK_FROM_PROXY);
	maker.host = from_host && !maker.proxy;
	track(skb, &packet, maker, &outcome);
	if (outcome.rewrite == REWRITE_AHEAD && outcome.reason == DROP_NONE)
		outcome.reason = translate_answer(skb, &packet);
	to_proxy = outcome.for_proxy || goes_to_proxy(&outcome);
	if (to_proxy)
		outcome.observation = OBSERVED_TO_PROXY;
	action = finish(skb, &packet, &outcome, TC_PASS);
	if (outcome.refuse && !refuse(skb, &packet, &outcome))
		return bounce(skb, BOUNCED_TO_SENDER);
	if (to_proxy && action == TC_PASS)
		return bounce(skb, outcome.for_proxy ? PROXY_LISTENER_NONE
						     : proxy_listener(outcome.proxy, outcome.l7));
	return action;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
