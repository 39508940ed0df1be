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
	MARK_FROM_PROXY = 0xa00,
	MARK_MASK = 0xf00,
};

/* In a TCP_INFO answer: what is less than this never came from tell_proxy. */
enum proxy_answer {
	PROXY_ANSWER = 0x58000000,
};

enum proxy_socket {
	PROXY_SOCKET_IPV6 = 1,
	PROXY_SOCKET_UDP = 2,
	PROXY_SOCKET_KIND = 4, /* times enum proxy_kind */
};

/* The sockets that listen: kind * PROXY_SOCKET_KIND, and the others' sum. One that is closed leaves by itself. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} proxy_sockets SEC(".maps");

static __always_inline __u32 proxy_socket_index(__u32 kind, bool is_ipv6, bool is_udp)
{
	return kind * PROXY_SOCKET_KIND + (is_udp ? PROXY_SOCKET_UDP : 0) +
	       (is_ipv6 ? PROXY_SOCKET_IPV6 : 0);
}

const enum proxy_mark *anchor_proxy_mark __attribute__((unused));
const enum proxy_answer *anchor_proxy_answer __attribute__((unused));
const enum proxy_socket *anchor_proxy_socket __attribute__((unused));

#endif
