/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* MAC addresses: the node's side of every pod's veth pair has the same one. */
#ifndef AXONEME_MAC_H
#define AXONEME_MAC_H

#include "bpf.h"

const volatile __u8 host_mac[6] = {};

static __always_inline void copy_host_mac(__u8 *mac)
{
#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		mac[i] = host_mac[i];
}

static __always_inline bool mac_equal(const __u8 *a, const __u8 *b)
{
	const __u16 *x = (const __u16 *)a, *y = (const __u16 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

#endif
