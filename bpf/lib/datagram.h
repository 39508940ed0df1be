/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Sockets for datagrams: what each was given for the frontends it asked for, and
 * which frontend answers where a backend does. A socket that is not connected may
 * ask for many, so this is remembered by socket and address, not in the socket. What
 * falls out of a full map is chosen anew, or answers under its own address.
 */
#ifndef AXONEME_DATAGRAM_H
#define AXONEME_DATAGRAM_H

#include "service.h"

const volatile __u32 datagram_idle_seconds = 60; /* then a frontend's backend is chosen anew */

/* An address and port as a program names them to a system call. */
struct socket_name {
	struct address address;
	__be16 port;
	__u8 pad[6];
};

struct datagram_key {
	__u64 socket; /* the kernel's cookie */
	struct socket_name name;
};

struct datagram_backend {
	__u64 used_ns;
	__u32 backend; /* id */
	__u32 service;
};

/* Named by the frontend. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct datagram_key);
	__type(value, struct datagram_backend);
} datagram_backends SEC(".maps");

/* The frontend that was asked for last, where the backend of that id was given for it. */
struct datagram_frontend {
	struct socket_name name;
	__u32 backend;
	__u8 pad[4];
};

/* Named by the backend. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct datagram_key);
	__type(value, struct datagram_frontend);
} datagram_frontends SEC(".maps");

static __always_inline bool name_equal(const struct socket_name *a, const struct socket_name *b)
{
	return a->port == b->port && address_equal(&a->address, &b->address);
}

/* @return the id of the backend that the socket has for the frontend, while it exists and is in use */
static __always_inline __u32 datagram_backend_kept(const struct datagram_key *key,
						   const struct frontend *frontend)
{
	struct datagram_backend *kept = bpf_map_lookup_elem(&datagram_backends, key);
	__u64 now = bpf_ktime_get_coarse_ns();

	if (!kept || kept->service != frontend->service || !backend_lookup(kept->backend) ||
	    kept->used_ns + datagram_idle_seconds * NANOSECONDS < now)
		return 0;
	kept->used_ns = now;
	return kept->backend;
}

static __always_inline void datagram_backend_keep(const struct datagram_key *key,
						  const struct frontend *frontend, __u32 backend)
{
	struct datagram_backend kept = {
		.used_ns = bpf_ktime_get_coarse_ns(),
		.backend = backend,
		.service = frontend->service,
	};

	bpf_map_update_elem(&datagram_backends, key, &kept, BPF_ANY);
}

/* From now on, what the backend sends to the socket comes from the frontend. */
static __always_inline void datagram_frontend_set(__u64 socket, const struct socket_name *backend,
						  const struct datagram_frontend *frontend)
{
	struct datagram_key key = { .socket = socket, .name = *backend };
	struct datagram_frontend *known = bpf_map_lookup_elem(&datagram_frontends, &key);

	if (!known || known->backend != frontend->backend ||
	    !name_equal(&known->name, &frontend->name))
		bpf_map_update_elem(&datagram_frontends, &key, frontend, BPF_ANY);
}

static __always_inline struct datagram_frontend *
datagram_frontend_lookup(__u64 socket, const struct socket_name *backend)
{
	struct datagram_key key = { .socket = socket, .name = *backend };

	return bpf_map_lookup_elem(&datagram_frontends, &key);
}

/* The socket speaks to the address itself, which so answers under its own name again. */
static __always_inline void datagram_frontend_clear(__u64 socket, const struct socket_name *name)
{
	struct datagram_key key = { .socket = socket, .name = *name };

	if (bpf_map_lookup_elem(&datagram_frontends, &key))
		bpf_map_delete_elem(&datagram_frontends, &key);
}

#endif
