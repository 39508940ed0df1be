/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The ipcache: from any address to its security identity, longest prefix first.
 * The agent keeps ::ffff:0:0/96 and ::/0 present, so that an IPv4 address never
 * matches an IPv6 prefix.
 */
#ifndef AXONEME_IPCACHE_H
#define AXONEME_IPCACHE_H

#include "address.h"

enum reserved_identity {
	IDENTITY_UNKNOWN = 0,
	IDENTITY_HOST = 1,
	IDENTITY_WORLD = 2,
	IDENTITY_WORLD_IPV4 = 9,
	IDENTITY_WORLD_IPV6 = 10,
};

enum ipcache_flags {
	IPCACHE_HOST = 1, /* an address of this node */
};

struct ipcache_key {
	__u32 prefix_length; /* bits of the 16-byte form: IPv4 prefixes are 96 longer */
	__u8 address[16];
};

struct ipcache_entry {
	__u32 identity;
	__u32 flags;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 524288);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ipcache_key);
	__type(value, struct ipcache_entry);
} ipcache SEC(".maps");

static __always_inline struct ipcache_entry *ipcache_lookup(const struct address *address)
{
	struct ipcache_key key = { .prefix_length = 128 };

	__builtin_memcpy(key.address, address->bytes, sizeof(key.address));
	return bpf_map_lookup_elem(&ipcache, &key);
}

/* Whoever no more special prefix names: the world, under the number that it has today. */
static __always_inline __u32 world_identity(const struct address *address)
{
	struct ipcache_key key = { .prefix_length = address_is_mapped(address) ? 96 : 0 };
	struct ipcache_entry *entry;

	__builtin_memcpy(key.address, address->bytes, sizeof(key.address));
	entry = bpf_map_lookup_elem(&ipcache, &key);
	return entry ? entry->identity : IDENTITY_UNKNOWN;
}

static __always_inline bool is_host_address(const struct address *address)
{
	struct ipcache_entry *entry = ipcache_lookup(address);

	return entry && (entry->flags & IPCACHE_HOST);
}

const enum reserved_identity *anchor_reserved_identity __attribute__((unused));
const enum ipcache_flags *anchor_ipcache_flags __attribute__((unused));

#endif
