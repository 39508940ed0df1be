/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the kernel tells of a frame beside its bytes. On XDP, where it tells less, xdp-frame.h stands in for this. */
#ifndef AXONEME_FRAME_H
#define AXONEME_FRAME_H

#include "bpf.h"

static __always_inline __u32 frame_length(const struct __sk_buff *skb)
{
	return skb->len;
}

static __always_inline __be16 frame_protocol(const struct __sk_buff *skb)
{
	return skb->protocol;
}

/* In a VLAN, by a tag that the device took off. */
static __always_inline bool frame_is_tagged(const struct __sk_buff *skb)
{
	return skb->vlan_present;
}

/* Where it was received, or is to be sent. */
static __always_inline __u32 frame_device(const struct __sk_buff *skb)
{
	return skb->ifindex;
}

#endif
