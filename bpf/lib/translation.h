/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Translations: what becomes of the addresses and ports of a packet, by what the
 * packet has. A translated connection has two: from the client to the frontend,
 * and from the backend back. Each says the whole of the other side's tuple, so
 * that a change of services leaves the connections alone that go by it.
 */
#ifndef AXONEME_TRANSLATION_H
#define AXONEME_TRANSLATION_H

#include "conntrack.h"
#include "service.h"

enum translation_flags {
	TRANSLATION_REPLY = 1, /* of what the backend sends */
	TRANSLATION_SOURCE = 2, /* the client's address is hidden from the backend (SNAT) */
};

struct translation {
	struct tuple target; /* what the packet has afterwards */
	__u64 expires_ns;
	__u32 backend; /* id */
	__u32 service;
	__u8 tcp_flags; /* all flags seen in this direction */
	__u8 flags; /* enum translation_flags */
	__u8 pad[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct tuple);
	__type(value, struct translation);
} translations SEC(".maps");

/*
 * Network namespaces whose packets pass the pod program, by the kernel's cookie: there, datagrams
 * are translated one by one, so that a flow stays with its backend and moves on when that one goes.
 */
enum pod_namespace_flags {
	POD_NAMESPACE_BY_PACKET =
		1, /* no translation in sockets at all: connections as well by the packet */
};

struct pod_namespace {
	struct address address[2]; /* the pod's: IPv4, IPv6; zero where it has none */
	__u32 flags; /* enum pod_namespace_flags */
	__u32 endpoint; /* id */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct pod_namespace);
} pod_namespaces SEC(".maps");

/* What a connected socket was translated to, and what it asked for. Goes with the socket. */
struct socket_service {
	struct address frontend;
	struct address backend;
	__be16 frontend_port;
	__be16 backend_port;
	__u32 service;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_service);
} socket_services SEC(".maps");

const enum translation_flags *anchor_translation_flags __attribute__((unused));
const enum pod_namespace_flags *anchor_pod_namespace_flags __attribute__((unused));

#endif
