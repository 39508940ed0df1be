/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The shared headers, for a program on XDP: there a packet has no socket buffer yet, so
 * the helpers that they call by their names for socket buffers are others, or are made
 * here. Included first. No packet on XDP waits for a device to compute its checksum.
 */
#ifndef AXONEME_XDP_FRAME_H
#define AXONEME_XDP_FRAME_H
#define AXONEME_FRAME_H

#include "bpf.h"
#include "checksum.h"

static __always_inline __u32 frame_length(struct xdp_md *xdp)
{
	return bpf_xdp_get_buff_len(xdp);
}

static __always_inline __be16 frame_protocol(struct xdp_md *xdp)
{
	__be16 protocol;

	return bpf_xdp_load_bytes(xdp, offsetof(struct ethhdr, h_proto), &protocol,
				  sizeof(protocol))
		       ? 0
		       : protocol;
}

/* A tag is in the frame here, and is its protocol. */
static __always_inline bool frame_is_tagged(const struct xdp_md *xdp)
{
	(void)xdp;
	return false;
}

static __always_inline __u32 frame_device(const struct xdp_md *xdp)
{
	return xdp->ingress_ifindex;
}

/* As bpf_l4_csum_replace and bpf_l3_csum_replace, with a difference (`size` 0) or two values. */
static __always_inline int frame_csum_replace(struct xdp_md *xdp, __u32 offset, __u64 from,
					      __u64 to, __u64 flags)
{
	__u32 size = flags & BPF_F_HDR_FIELD_MASK;
	__u16 sum;

	if (bpf_xdp_load_bytes(xdp, offset, &sum, sizeof(sum)))
		return -1;
	if ((flags & BPF_F_MARK_MANGLED_0) && sum == 0)
		return 0;
	sum = checksum_grow(sum, size ? sum_add((__u16)~from, to) : to);
	if ((flags & BPF_F_MARK_MANGLED_0) && sum == 0)
		sum = 0xffff;
	return bpf_xdp_store_bytes(xdp, offset, &sum, sizeof(sum));
}

/* As bpf_skb_adjust_room behind the fixed IP header: only to make room. */
static __always_inline int frame_make_room(struct xdp_md *xdp, int more)
{
	__u8 headers[ETH_HLEN + 40];
	bool ipv4 = frame_protocol(xdp) == bpf_htons(ETH_P_IP);

	if (more < 0)
		return -1;
	if (ipv4)
		return bpf_xdp_load_bytes(xdp, 0, headers, ETH_HLEN + 20) ||
		       bpf_xdp_adjust_head(xdp, -more) ||
		       bpf_xdp_store_bytes(xdp, 0, headers, ETH_HLEN + 20);
	return bpf_xdp_load_bytes(xdp, 0, headers, ETH_HLEN + 40) ||
	       bpf_xdp_adjust_head(xdp, -more) ||
	       bpf_xdp_store_bytes(xdp, 0, headers, ETH_HLEN + 40);
}

#define __sk_buff xdp_md
#define bpf_skb_load_bytes bpf_xdp_load_bytes
#define bpf_skb_store_bytes(xdp, offset, from, length, flags) \
	bpf_xdp_store_bytes(xdp, offset, (void *)(from), length)
#define bpf_l3_csum_replace frame_csum_replace
#define bpf_l4_csum_replace frame_csum_replace
#define bpf_csum_update(xdp, sum) ((void)(sum))
#define bpf_skb_adjust_room(xdp, more, mode, flags) frame_make_room(xdp, more)

#endif
