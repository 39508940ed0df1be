// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The pod program: every packet that a pod of this node sends or receives.
 *
 * from_pod runs on tcx (or clsact) ingress of the host side of a pod's veth
 * pair, to_pod on its egress, for what comes through the node's own stack. One
 * program serves all pods; what differs is in the maps.
 */
#include <linux/if_packet.h>

#include "lib/bpf.h"
#include "lib/address.h"
#include "lib/verdict.h"
#include "lib/parse.h"
#include "lib/deliver.h"
#include "lib/endpoint.h"
#include "lib/neighbour.h"
#include "lib/packet-event.h"
#include "lib/refuse.h"
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
	to_proxy = outcome.for_proxy || goes_to_proxy(&outcome);
	if (to_proxy)
		outcome.observation = OBSERVED_TO_PROXY;
	else if (outcome.rewrite == REWRITE_AHEAD && outcome.reason == DROP_NONE)
		outcome.reason = translate_answer(skb, &packet);
	action = finish(skb, &packet, &outcome, TC_PASS);
	if (outcome.refuse && !refuse(skb, &packet, &outcome))
		return bounce(skb, BOUNCED_TO_SENDER);
	if (to_proxy && action == TC_PASS)
		return bounce(skb, outcome.for_proxy ? PROXY_LISTENER_NONE
						     : proxy_listener(outcome.proxy, outcome.l7));
	return action;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
