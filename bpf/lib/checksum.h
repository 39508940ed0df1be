/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The Internet checksum (RFC 1071), changed by differences (RFC 1624), and the CRC of SCTP, likewise. */
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

#define CRC32C_POLYNOMIAL 0x82f63b78 /* bits reversed, as SCTP has it (RFC 9260 appendix A) */

/* The product of two polynomials modulo CRC-32C's. Bit 31 is x^0. Not static, see parse_packet. */
__noinline __u32 crc32c_multiply(__u32 a, __u32 b)
{
	__u32 product = 0;

	for (int i = 0; i < 32; i++) {
		product ^= b & -(a >> 31);
		a <<= 1;
		b = (b >> 1) ^ (CRC32C_POLYNOMIAL & -(b & 1));
	}
	return product;
}

/*
 * By what the CRC of a packet changes when its first four bytes change by `change`: the
 * CRC of that change and zeroes to the end, which is change * x^(8 * length).
 */
__noinline __u32 crc32c_change(__u32 change, __u32 length)
{
	/* x^(8 * 2^i) */
	static const __u32 powers[16] = {
		0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a,
		0xb82be955, 0xb8fdb1e7, 0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a,
		0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
	};

	for (int i = 0; i < 16; i++)
		if (length & (1 << i))
			change = crc32c_multiply(powers[i], change);
	return change;
}

#endif
