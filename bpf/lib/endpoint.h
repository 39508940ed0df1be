/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Endpoints: the pods of this node, by address. A pod with an IPv4 and an IPv6
 * address has two entries; they may differ in identity and policy. Adding a pod
 * is adding entries: no program is loaded for it.
 */
#ifndef AXONEME_ENDPOINT_H
#define AXONEME_ENDPOINT_H

#include "address.h"

struct endpoint {
	__u32 ifindex; /* host side of the pod's veth pair */
	__u32 id;
	__u32 identity;
	__u32 policy; /* key in policy_maps */
	__u8 mac[6]; /* the pod's */
	__u16 flags; /* none yet */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

static __always_inline struct endpoint *endpoint_lookup(const struct address *address)
{
	return bpf_map_lookup_elem(&endpoints, address);
}

#endif
