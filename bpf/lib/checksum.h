/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The Internet checksum (RFC 1071), changed by differences (RFC 1624). */
#ifndef AXONEME_CHECKSUM_H
#define AXONEME_CHECKSUM_H

#include "bpf.h"

static __always_inline __u32 sum_add(__u32 a, __u32 b)
{
	__u32 sum = a + b;

	return sum + (sum < b);
}

static __always_inline __u16 sum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* What a checksum becomes when the sum of what it covers grows by `difference`. */
static __always_inline __u16 checksum_grow(__u16 checksum, __u32 difference)
{
	return ~sum_fold(sum_add((__u16)~checksum, difference));
}

#endif
