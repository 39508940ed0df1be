/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the programs on sockets and those on packets know of each other: whose
 * datagrams the pod program translates, and what a socket asked for when it was
 * connected. Each of the two leaves to the other what that one has done.
 */
#ifndef AXONEME_SOCKET_H
#define AXONEME_SOCKET_H

#include "address.h"

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

const enum pod_namespace_flags *anchor_pod_namespace_flags __attribute__((unused));

#endif
