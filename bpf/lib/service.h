/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Services: from an address and port that stand for many to one that answers.
 *
 * A frontend names a range of slots, and every slot a backend. A new choice of
 * backends is written into free slots and put in force by exchanging the one
 * frontend, so nobody ever sees half of it. Random choice takes any slot of the
 * range; Maglev takes the one that the flow's addresses and ports hash to, out
 * of a table that is the same on every node. What is chosen once is remembered
 * elsewhere: by the socket (socket.h) or by the connection (translation.h).
 */
#ifndef AXONEME_SERVICE_H
#define AXONEME_SERVICE_H

#include "packet.h"

enum slot_pages {
	SLOT_PAGE_LENGTH = 131072, /* the largest Maglev table is 131071 */
	SLOT_PAGES = 1024,
};

enum frontend_flags {
	FRONTEND_HASHED = 1, /* Maglev; else any slot is as good as any other */
	FRONTEND_OUTSIDE = 2, /* there for clients outside of the cluster, too */
	FRONTEND_SOURCE_RANGES = 4, /* of those, only for the ones in source_ranges */
	FRONTEND_NODE_ONLY = 8, /* a loopback address: for processes of the node itself */
	FRONTEND_RESERVATION =
		16, /* nothing to translate: the port is taken on every address of the node */
	FRONTEND_DIRECT_RETURN =
		32, /* backends elsewhere answer outside clients themselves (DSR) */
};

/* What becomes of a client for whom there is no backend. */
enum without_backend {
	WITHOUT_REJECT = 0, /* told at once */
	WITHOUT_DROP = 1, /* there are backends, but the traffic policy wants one of this node */
};

/* Who asks. A traffic policy may leave each kind of client other backends. */
enum client_kind {
	CLIENT_CLUSTER = 0, /* a pod, or a process of a node */
	CLIENT_OUTSIDE = 1,
};

struct frontend_key {
	struct address address; /* all zero for a reservation */
	__be16 port;
	__u8 protocol;
	__u8 pad[5];
};

struct backend_range {
	__u32 first; /* slot number: page * SLOT_PAGE_LENGTH + index in the page; a range is in one page */
	__u32 count;
};

/* Arrays of two are indexed by enum client_kind. */
struct frontend {
	struct backend_range backends[2];
	__u32 service; /* number of the service's port: for affinity, source ranges and events */
	__u32 affinity_seconds; /* 0: none */
	__u8 without[2]; /* enum without_backend */
	__u8 flags; /* enum frontend_flags */
	__u8 pad[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct frontend_key);
	__type(value, struct frontend);
} frontends SEC(".maps");

struct slot_page {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOT_PAGE_LENGTH);
	__type(key, __u32);
	__type(value, __u32); /* backend id; 0: free */
};

/* Pages are made when they are needed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLOT_PAGES);
	__type(key, __u32);
	__array(values, struct slot_page);
} slot_pages SEC(".maps");

/*
 * An id belongs to one address, port and protocol of one service as long as anybody may know
 * it: what leaves that service has no id any more, though another service may have it.
 */
struct backend {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
	__u32 service; /* number of the service's port; for the agent that comes next */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

/* Which backend a client was given last, for services that keep clients with theirs. */
struct affinity_key {
	struct address client;
	__u32 service;
	__u8 pad[4];
};

struct affinity {
	__u64 used_ns;
	__u32 backend;
	__u8 pad[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct affinity_key);
	__type(value, struct affinity);
} affinities SEC(".maps");

/* The backends that a service with affinity gives to new clients now. */
struct affinity_backend {
	__u32 service;
	__u32 backend;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct affinity_backend);
	__type(value, __u32); /* bit 1 << enum client_kind: for clients of that kind */
} affinity_backends SEC(".maps");

struct source_range_key {
	__u32 prefix_length; /* 32 bits of the service, then the 16-byte form: IPv4 prefixes are 96 longer */
	__u32 service;
	__u8 address[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source_range_key);
	__type(value, __u32); /* 1 */
} source_ranges SEC(".maps");

/* Somebody who wants a backend. */
struct service_client {
	struct address address;
	enum client_kind kind;
	__u32 hash; /* of what names the flow; see flow_hash */
};

static __always_inline struct frontend *frontend_lookup(const struct address *address, __be16 port,
							__u8 protocol)
{
	struct frontend_key key = {
		.address = *address,
		.port = port,
		.protocol = protocol,
	};
	struct frontend *frontend = bpf_map_lookup_elem(&frontends, &key);

	return frontend && !(frontend->flags & FRONTEND_RESERVATION) ? frontend : 0;
}

static __always_inline __u32 hash_mix(__u32 hash, __u32 word)
{
	word *= 0xcc9e2d51;
	word = (word << 15) | (word >> 17);
	hash ^= word * 0x1b873593;
	hash = (hash << 13) | (hash >> 19);
	return hash * 5 + 0xe6546b64;
}

/* MurmurHash3 (32 bits) of the tuple: the same for a flow on every node. src/services/flow-hash.ts is its twin. */
static __always_inline __u32 flow_hash(const struct tuple *tuple)
{
	__u32 hash = 0;

	for (int i = 0; i < 4; i++)
		hash = hash_mix(hash, address_word(&tuple->source, i));
	for (int i = 0; i < 4; i++)
		hash = hash_mix(hash, address_word(&tuple->destination, i));
	hash = hash_mix(hash, tuple->source_port | (__u32)tuple->destination_port << 16);
	hash = hash_mix(hash, tuple->protocol);
	hash ^= 40;
	hash = (hash ^ (hash >> 16)) * 0x85ebca6b;
	hash = (hash ^ (hash >> 13)) * 0xc2b2ae35;
	return hash ^ (hash >> 16);
}

/* @return whether the service takes clients outside of the cluster from this address */
static __always_inline bool in_source_ranges(const struct frontend *frontend,
					     const struct address *client)
{
	struct source_range_key key = { .prefix_length = 160, .service = frontend->service };

	if (!(frontend->flags & FRONTEND_SOURCE_RANGES))
		return true;
	__builtin_memcpy(key.address, client->bytes, sizeof(key.address));
	return bpf_map_lookup_elem(&source_ranges, &key) != 0;
}

/* @return the backend id in a slot of the frontend's range for this kind of client; 0 when it has none */
static __always_inline __u32 slot_choose(const struct frontend *frontend,
					 const struct service_client *client)
{
	bool outside = client->kind == CLIENT_OUTSIDE;
	__u32 first = outside ? frontend->backends[1].first : frontend->backends[0].first;
	__u32 count = outside ? frontend->backends[1].count : frontend->backends[0].count;
	__u32 page, slot, *backend;
	void *slots;

	if (count == 0)
		return 0;
	slot = (frontend->flags & FRONTEND_HASHED) ? client->hash : bpf_get_prandom_u32();
	/* The high bits of the product: as even as a modulo, without a division. */
	slot = first + (__u32)(((__u64)slot * count) >> 32);
	page = slot / SLOT_PAGE_LENGTH;
	slot %= SLOT_PAGE_LENGTH;
	slots = bpf_map_lookup_elem(&slot_pages, &page);
	if (!slots)
		return 0;
	backend = bpf_map_lookup_elem(slots, &slot);
	return backend ? *backend : 0;
}

/* The backend that the client had, while it is one that new clients get. */
static __always_inline __u32 affinity_choose(const struct frontend *frontend,
					     const struct service_client *client, __u64 now)
{
	struct affinity_key key = { .client = client->address, .service = frontend->service };
	struct affinity *affinity = bpf_map_lookup_elem(&affinities, &key);
	struct affinity_backend member = { .service = frontend->service };
	__u32 *kinds;

	if (!affinity || affinity->used_ns + frontend->affinity_seconds * NANOSECONDS < now)
		return 0;
	member.backend = affinity->backend;
	kinds = bpf_map_lookup_elem(&affinity_backends, &member);
	if (!kinds || !(*kinds & (1 << client->kind)))
		return 0;
	affinity->used_ns = now;
	return affinity->backend;
}

/*
 * Not static for the verifier's sake, see parse_packet.
 * @return the id of the backend for a new flow of the client; 0: there is none, see `without`
 */
__noinline __u32 service_choose(const struct frontend *frontend,
				const struct service_client *client)
{
	struct affinity_key key = {};
	struct affinity affinity = {};

	if (!frontend || !client)
		return 0;
	if (!frontend->affinity_seconds)
		return slot_choose(frontend, client);
	affinity.used_ns = bpf_ktime_get_coarse_ns();
	affinity.backend = affinity_choose(frontend, client, affinity.used_ns);
	if (affinity.backend)
		return affinity.backend;
	affinity.backend = slot_choose(frontend, client);
	if (!affinity.backend)
		return 0;
	key.client = client->address;
	key.service = frontend->service;
	bpf_map_update_elem(&affinities, &key, &affinity, BPF_ANY);
	return affinity.backend;
}

static __always_inline struct backend *backend_lookup(__u32 id)
{
	return bpf_map_lookup_elem(&backends, &id);
}

const enum slot_pages *anchor_slot_pages __attribute__((unused));
const enum frontend_flags *anchor_frontend_flags __attribute__((unused));
const enum without_backend *anchor_without_backend __attribute__((unused));
const enum client_kind *anchor_client_kind __attribute__((unused));

#endif
