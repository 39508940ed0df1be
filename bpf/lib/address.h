/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Addresses: 16 bytes for both families, IPv4 as ::ffff:a.b.c.d. One code path
 * serves both. The mapped form never comes from the wire (see packet.h), so an
 * IPv6 packet can not pose as an IPv4 one.
 */
#ifndef AXONEME_ADDRESS_H
#define AXONEME_ADDRESS_H

#include "bpf.h"

struct address {
	__u8 bytes[16];
} __attribute__((aligned(8)));

static __always_inline __u64 address_half(const struct address *address, int index)
{
	return ((const __u64 *)address->bytes)[index];
}

static __always_inline __u32 address_word(const struct address *address, int index)
{
	return ((const __u32 *)address->bytes)[index];
}

static __always_inline void address_from_ipv4(struct address *address, __be32 ipv4)
{
	__u32 *words = (__u32 *)address->bytes;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = ipv4;
}

/* Word by word, volatile: from a program's context the verifier allows no wider load, and the compiler would make one. */
static __always_inline void address_from_words(struct address *address, const volatile __u32 *from)
{
	__u32 *words = (__u32 *)address->bytes;

	words[0] = from[0];
	words[1] = from[1];
	words[2] = from[2];
	words[3] = from[3];
}

static __always_inline bool address_is_mapped(const struct address *address)
{
	return address_half(address, 0) == 0 && address_word(address, 2) == bpf_htonl(0xffff);
}

static __always_inline bool address_equal(const struct address *a, const struct address *b)
{
	return address_half(a, 0) == address_half(b, 0) && address_half(a, 1) == address_half(b, 1);
}

/* Any total order will do; it only has to be the same for both directions of a flow. */
static __always_inline bool address_less(const struct address *a, const struct address *b)
{
	if (address_half(a, 0) != address_half(b, 0))
		return address_half(a, 0) < address_half(b, 0);
	return address_half(a, 1) < address_half(b, 1);
}

static __always_inline bool address_is_unspecified(const struct address *address)
{
	return address_half(address, 0) == 0 && address_half(address, 1) == 0;
}

static __always_inline bool address_is_link_local(const struct address *address)
{
	return address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

/* More than one host may listen to it: 224.0.0.0/4, 255.255.255.255, ff00::/8. */
static __always_inline bool address_is_group(const struct address *address)
{
	if (!address_is_mapped(address))
		return address->bytes[0] == 0xff;
	return (address->bytes[12] & 0xf0) == 0xe0 || address_word(address, 3) == 0xffffffff;
}

/* ff02::/16 */
static __always_inline bool address_is_link_multicast(const struct address *address)
{
	return address->bytes[0] == 0xff && (address->bytes[1] & 0x0f) == 0x02;
}

#endif
