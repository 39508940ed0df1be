// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The driver's program: what the device program would send on to another node, and
 * the answers, before the kernel makes a buffer of it, where it leaves by the device
 * that it came by. Everything else passes to the device program, which finds the
 * connection that was recorded here: refusals, events, fragments and ICMP errors are
 * its work alone.
 */
#include "lib/xdp-frame.h"
#include "lib/outside.h"
#include "lib/parse.h"
#include "lib/schema.h"

static __always_inline bool goes_elsewhere(const struct rewrite *rewrite)
{
	return rewrite->entry.flags & (TRANSLATION_SOURCE | TRANSLATION_DIRECT);
}

/* @return enum xdp_action; XDP_PASS while the packet is as it came */
static __always_inline int send_on(struct xdp_md *xdp, struct packet *packet,
				   struct rewrite *rewrite)
{
	bool tells = tells_frontend(packet, rewrite);
	struct bpf_fib_lookup fib;
	struct ethhdr macs, came;
	__u32 length = packet->end - ETH_HLEN + (tells ? direct_return_bytes(packet) : 0);

	/* What is yet to be resolved, or does not fit, the device program deals with. */
	if (route_to(xdp, packet, &rewrite->entry.target, length, &fib) !=
		    BPF_FIB_LKUP_RET_SUCCESS ||
	    fib.ifindex != frame_device(xdp) || bpf_xdp_load_bytes(xdp, 0, &came, sizeof(came)))
		return XDP_PASS;
	/* What a switch floods is for others: the device's own MAC is the one that it sends from. */
	if (!mac_equal(came.h_dest, fib.smac))
		return XDP_PASS;
	__builtin_memcpy(macs.h_dest, fib.dmac, ETH_ALEN);
	__builtin_memcpy(macs.h_source, fib.smac, ETH_ALEN);
	if (rewrite_packet(xdp, packet, &rewrite->from, &rewrite->entry.target) != DROP_NONE ||
	    hop_to(xdp, packet, &macs) ||
	    (tells && direct_return_add(xdp, packet, &rewrite->from) != DROP_NONE)) {
		count_packet(VERDICT_DROPPED, DROP_INVALID_PACKET, DIRECTION_INGRESS,
			     packet->length);
		return XDP_DROP;
	}
	count_packet(VERDICT_FORWARDED, DROP_NONE, DIRECTION_UNKNOWN, packet->length);
	return XDP_TX;
}

SEC("xdp")
int xdp_netdev(struct xdp_md *xdp)
{
	struct packet packet = {};
	struct rewrite *rewrite;
	int result;

	if (parse_packet(xdp, &packet) != DROP_NONE || packet.fragment != FRAGMENT_NONE ||
	    !has_ports(packet.tuple.protocol) || packet.ttl <= 1)
		return XDP_PASS;
	rewrite = rewrite_room();
	if (!rewrite)
		return XDP_PASS;
	rewrite->from = packet.tuple;
	result = translate_outside(xdp, &packet, rewrite, bpf_ktime_get_coarse_ns());
	if ((result == TRANSLATE_KNOWN || result == TRANSLATE_OPENED) && goes_elsewhere(rewrite))
		return send_on(xdp, &packet, rewrite);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
