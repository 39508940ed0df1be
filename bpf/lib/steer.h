/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Hands packets to the proxies of this node: to the socket of a connection that a proxy
 * has, or to the one that listens. The packet stays as it is; the socket that it has by
 * then, and a route for its mark, make the stack deliver it there.
 *
 * A socket can be given only to a packet that comes in. What is on its way out to a
 * pod's device is turned round there first (bounce).
 */
#ifndef AXONEME_STEER_H
#define AXONEME_STEER_H

#include "packet.h"
#include "proxy.h"
#include "verdict.h"

/* Values are ABI: include/net/tcp_states.h */
enum socket_state {
	SOCKET_ESTABLISHED = 1, /* of UDP: connected */
	SOCKET_LISTENS = 10,
};

/* Above the bits of a bounced packet's mark: whom it is for. */
#define BOUNCED_FOR_SHIFT 16
enum bounced_for {
	BOUNCED_FOR_LISTENER =
		63, /* enum proxy_listener; NONE: for a connection that a proxy has */
	BOUNCED_TO_SENDER =
		64, /* for no proxy at all: an answer to whoever sent the packet that it was */
};

enum assignment {
	ASSIGNED = 0,
	ASSIGN_NO_SOCKET = 1,
	ASSIGN_FAILED = 2,
};

static __always_inline __u32 socket_tuple(struct bpf_sock_tuple *name, const struct tuple *tuple)
{
	if (address_is_mapped(&tuple->source)) {
		name->ipv4.saddr = address_word(&tuple->source, 3);
		name->ipv4.daddr = address_word(&tuple->destination, 3);
		name->ipv4.sport = tuple->source_port;
		name->ipv4.dport = tuple->destination_port;
		return sizeof(name->ipv4);
	}
	__builtin_memcpy(name->ipv6.saddr, &tuple->source, sizeof(name->ipv6.saddr));
	__builtin_memcpy(name->ipv6.daddr, &tuple->destination, sizeof(name->ipv6.daddr));
	name->ipv6.sport = tuple->source_port;
	name->ipv6.dport = tuple->destination_port;
	return sizeof(name->ipv6);
}

/*
 * To the socket of a TCP connection. A SYN that meets one that is merely waiting out its
 * end makes the stack look for who listens (find_listener in proxy.bpf.c).
 */
static __noinline int assign_tcp(struct __sk_buff *skb, const struct tuple *tuple)
{
	struct bpf_sock_tuple name = {};
	__u32 size = socket_tuple(&name, tuple);
	int result = ASSIGN_NO_SOCKET;
	struct bpf_sock *socket;
	__u32 state;

	socket = bpf_skc_lookup_tcp(skb, &name, size, BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return result;
	state = socket->state;
	if (state != SOCKET_LISTENS)
		result = bpf_sk_assign(skb, socket, 0) ? ASSIGN_FAILED : ASSIGNED;
	bpf_sk_release(socket);
	return result;
}

/*
 * Whether a proxy has opened the TCP connection whose answers have that tuple. What merely
 * waits out its end says no more of itself than that it is there.
 */
static __noinline int has_opened(struct __sk_buff *skb, const struct tuple *tuple)
{
	struct bpf_sock_tuple name = {};
	__u32 size = socket_tuple(&name, tuple);
	struct bpf_sock *socket, *whole;
	int result;

	socket = bpf_skc_lookup_tcp(skb, &name, size, BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return false;
	whole = bpf_sk_fullsock(socket);
	result = !whole ||
		 (whole->state != SOCKET_LISTENS && (whole->mark & MARK_MASK) == MARK_FROM_PROXY);
	bpf_sk_release(socket);
	return result;
}

/*
 * To a connected UDP socket of a proxy. Any other is of somebody else, or answers for a
 * server from its address: neither has asked anybody.
 */
static __noinline int assign_udp(struct __sk_buff *skb, const struct tuple *tuple, bool assign)
{
	struct bpf_sock_tuple name = {};
	__u32 size = socket_tuple(&name, tuple);
	int result = ASSIGN_NO_SOCKET;
	struct bpf_sock *socket;

	socket = bpf_sk_lookup_udp(skb, &name, size, BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return result;
	if (socket->state == SOCKET_ESTABLISHED && (socket->mark & MARK_MASK) == MARK_FROM_PROXY)
		result = assign && bpf_sk_assign(skb, socket, 0) ? ASSIGN_FAILED : ASSIGNED;
	bpf_sk_release(socket);
	return result;
}

static __noinline int assign_listener(struct __sk_buff *skb, const struct packet *packet,
				      __u32 listener)
{
	__u32 index = proxy_socket_index(listener, packet->family == 6,
					 packet->tuple.protocol == PROTOCOL_UDP);
	struct bpf_sock *socket = bpf_map_lookup_elem(&proxy_sockets, &index);
	int result;

	if (!socket)
		return ASSIGN_NO_SOCKET;
	result = bpf_sk_assign(skb, socket, 0) ? ASSIGN_FAILED : ASSIGNED;
	bpf_sk_release(socket);
	return result;
}

/*
 * Gives the packet to a proxy. What a listening socket gets of a connection that it does not
 * know it answers as any server does: a SYN cookie may make it known, or it is reset.
 * @param listener enum proxy_listener, that the connection's opener is handed to; NONE: only
 *   who has the connection gets it
 * @return a drop reason
 */
static __noinline int steer(struct __sk_buff *skb, const struct packet *packet, __u32 listener)
{
	int result = ASSIGN_NO_SOCKET;

	/* A fragment would lose its socket when it is put together with the others. */
	if (packet->fragment != FRAGMENT_NONE)
		return DROP_SOCKET_ASSIGN_FAILED;
	if (packet->icmp_kind == KIND_ERROR) {
		/* The stack finds the socket that it is about. */
		result = ASSIGNED;
	} else if (packet->tuple.protocol == PROTOCOL_TCP) {
		result = assign_tcp(skb, &packet->tuple);
		if (result == ASSIGN_NO_SOCKET && listener != PROXY_LISTENER_NONE)
			result = assign_listener(skb, packet, listener);
	} else if (packet->tuple.protocol == PROTOCOL_UDP) {
		result = listener != PROXY_LISTENER_NONE ? assign_listener(skb, packet, listener)
							 : assign_udp(skb, &packet->tuple, true);
	}
	if (result == ASSIGN_NO_SOCKET)
		return listener == PROXY_LISTENER_CONFLICT ? DROP_PROXY_CONFLICT
							   : DROP_SOCKET_LOOKUP_FAILED;
	if (result != ASSIGNED)
		return DROP_SOCKET_ASSIGN_FAILED;
	skb->mark = MARK_TO_PROXY;
	return DROP_NONE;
}

/* Turns a packet round at the device that it was to leave by, with what is to become of it there. */
static __always_inline int bounce(struct __sk_buff *skb, __u32 bounced_for)
{
	skb->mark = MARK_BOUNCED | bounced_for << BOUNCED_FOR_SHIFT;
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

#endif
