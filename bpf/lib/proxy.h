/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The proxies of this node: their listening sockets, the marks by which their packets
 * are told apart, and how they ask what to judge a connection by (proxy.bpf.c).
 */
#ifndef AXONEME_PROXY_H
#define AXONEME_PROXY_H

#include "proxy-kind.h"

/* In the twelve bits that belong to us; what others have in the rest of a mark stays theirs. */
enum proxy_mark {
	MARK_TO_PROXY =
		0x200, /* for a socket of a proxy: a rule of the node's routes makes it local */
	MARK_BOUNCED = 0x600, /* turned round at a pod's device, to come in there (steer.h) */
	MARK_FROM_PROXY = 0xa00, /* by a socket that it has made: it opens connections */
	MARK_ACCEPTED = 0xe00, /* by one that it has accepted: an answer to who opened it */
	MARK_MASK = 0xf00,
};

/* In a TCP_INFO answer: what is less than this never came from tell_proxy. */
enum proxy_answer {
	PROXY_ANSWER = 0x58000000,
	EGRESS_ANSWER =
		0x60000000, /* in an answer for both directions: the rules are the opener's */
};

/*
 * Who listens: of most kinds one, under the kind's number (enum proxy_kind). Of PROXY_HTTPS
 * each TLS context has one of its own, which has its keys and no others.
 */
enum proxy_listener {
	PROXY_LISTENER_NONE = 0,
	PROXY_LISTENER_CONTEXT = 16, /* plus the slot of the context */
	PROXY_LISTENER_CONFLICT = 63, /* nobody: the two ends' policies want different contexts */
};

enum tls_context {
	TLS_CONTEXT_SLOTS = 32,
};

enum proxy_socket {
	PROXY_SOCKET_IPV6 = 1,
	PROXY_SOCKET_UDP = 2,
	PROXY_SOCKET_LISTENER = 4, /* times enum proxy_listener */
};

/* The sockets that listen: listener * PROXY_SOCKET_LISTENER, and the others' sum. One that is closed leaves by itself. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, (PROXY_LISTENER_CONTEXT + TLS_CONTEXT_SLOTS) * PROXY_SOCKET_LISTENER);
	__type(key, __u32);
	__type(value, __u64);
} proxy_sockets SEC(".maps");

/* Slot of the TLS context that a rule set has, by the set's number. Without an entry nobody has its keys. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u32);
} tls_contexts SEC(".maps");

static __always_inline __u32 proxy_socket_index(__u32 listener, bool is_ipv6, bool is_udp)
{
	return listener * PROXY_SOCKET_LISTENER + (is_udp ? PROXY_SOCKET_UDP : 0) +
	       (is_ipv6 ? PROXY_SOCKET_IPV6 : 0);
}

/*
 * @param l7 rule sets of the opener's egress and the responder's ingress
 * @return enum proxy_listener, or a kind's number
 */
static __noinline __u32 proxy_listener(__u32 kind, const __u32 *l7)
{
	__u32 listener = PROXY_LISTENER_NONE;

	if (kind != PROXY_HTTPS)
		return kind;
#pragma unroll
	for (int end = 0; end < 2; end++) {
		__u32 number = l7[end];
		__u32 *slot;

		if (!number)
			continue;
		slot = bpf_map_lookup_elem(&tls_contexts, &number);
		if (!slot || *slot >= TLS_CONTEXT_SLOTS)
			return PROXY_LISTENER_NONE;
		if (listener != PROXY_LISTENER_NONE && listener != PROXY_LISTENER_CONTEXT + *slot)
			return PROXY_LISTENER_CONFLICT;
		listener = PROXY_LISTENER_CONTEXT + *slot;
	}
	return listener;
}

const enum proxy_mark *anchor_proxy_mark __attribute__((unused));
const enum proxy_answer *anchor_proxy_answer __attribute__((unused));
const enum proxy_listener *anchor_proxy_listener __attribute__((unused));
const enum tls_context *anchor_tls_context __attribute__((unused));
const enum proxy_socket *anchor_proxy_socket __attribute__((unused));

#endif
