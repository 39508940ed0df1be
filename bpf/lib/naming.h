/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a socket gets for the name that its program gives, and what that is told of whom it
 * speaks to: a backend for a frontend, and the frontend for a backend.
 */
#ifndef AXONEME_NAMING_H
#define AXONEME_NAMING_H

#include "asker.h"
#include "datagram.h"
#include "service.h"
#include "socket.h"

/* A namespace that is not a pod's is a client by its cookie, in a prefix that no packet comes from (RFC 6666). */
#define DISCARD_PREFIX bpf_cpu_to_be64(0x0100000000000000ULL)

/* Values are the same on every architecture that BPF is for. */
enum socket_error {
	SOCKET_ADDRESS_IN_USE = 98,
	SOCKET_REFUSED = 111,
	SOCKET_NO_ROUTE = 113,
};

#define SOCKET_CONNECTED 1 /* TCP_ESTABLISHED: of sockets for datagrams, too */

/* What became of a name. */
enum naming {
	NAME_KEPT,
	NAME_CHANGED,
	NAME_REJECTED,
};

static __always_inline enum naming reject(int error)
{
	bpf_set_retval(-error);
	return NAME_REJECTED;
}

/* @return the frontend of that name, where this socket is translated here and may ask for it */
static __always_inline struct frontend *frontend_for(struct bpf_sock_addr *ctx, struct asker *asker,
						     const struct socket_name *name)
{
	struct frontend *frontend;

	asker->protocol = ctx->protocol;
	if (asker->protocol != PROTOCOL_TCP && asker->protocol != PROTOCOL_UDP)
		return 0;
	frontend = frontend_lookup(&name->address, name->port, asker->protocol);
	if (!frontend)
		return 0;
	asker->namespace = bpf_get_netns_cookie(ctx);
	asker->family = address_is_mapped(&name->address) ? 4 : 6;
	if ((frontend->flags & FRONTEND_NODE_ONLY) && asker->namespace != node_namespace)
		return 0;
	asker->pod = bpf_map_lookup_elem(&pod_namespaces, &asker->namespace);
	if (asker->pod &&
	    (asker->protocol == PROTOCOL_UDP || (asker->pod->flags & POD_NAMESPACE_BY_PACKET)))
		return 0;
	asker->frontend = frontend;
	return frontend;
}

static __always_inline __u32 choose(const struct frontend *frontend, const struct asker *asker)
{
	/* Which port the flow will have is not known yet: any hash is as good. */
	struct service_client client = { .kind = CLIENT_CLUSTER, .hash = bpf_get_prandom_u32() };
	__u64 *halves = (__u64 *)client.address.bytes;

	if (asker->pod)
		client.address =
			asker->family == 4 ? asker->pod->address[0] : asker->pod->address[1];
	if (address_is_unspecified(&client.address)) {
		halves[0] = DISCARD_PREFIX;
		halves[1] = asker->namespace;
	}
	return service_choose(frontend, &client);
}

static __always_inline bool backend_name(struct socket_name *name, __u32 id)
{
	struct backend *backend = id ? backend_lookup(id) : 0;

	if (!backend)
		return false;
	name->address = backend->address;
	name->port = backend->port;
	return true;
}

static __always_inline enum naming without_backend(struct bpf_sock_addr *ctx,
						   const struct asker *asker,
						   const struct socket_name *name)
{
	report_refusal(ctx, asker, name);
	return reject(asker->frontend->without[CLIENT_CLUSTER] == WITHOUT_DROP ? SOCKET_NO_ROUTE
									       : SOCKET_REFUSED);
}

/* An earlier attempt may have left what is not true of this one. */
static __always_inline enum naming connect_untranslated(struct bpf_sock_addr *ctx,
							const struct asker *asker,
							const struct socket_name *name)
{
	bpf_sk_storage_delete(&socket_services, ctx->sk);
	if (asker->protocol == PROTOCOL_UDP)
		datagram_frontend_clear(bpf_get_socket_cookie(ctx), name);
	return NAME_KEPT;
}

/*
 * What the socket keeps says which backend it is true of: so an attempt that fails leaves
 * nothing wrong. A socket for datagrams may then still be connected to the backend before:
 * for that one it is remembered by its address as well.
 */
static __always_inline enum naming name_to_connect(struct bpf_sock_addr *ctx,
						   struct socket_name *name)
{
	struct asker asker = {};
	struct frontend *frontend = frontend_for(ctx, &asker, name);
	struct socket_service service = {}, *kept;
	struct datagram_frontend asked = { .name = *name };

	if (!frontend)
		return connect_untranslated(ctx, &asker, name);
	asked.backend = choose(frontend, &asker);
	if (!backend_name(name, asked.backend))
		return without_backend(ctx, &asker, name);
	service.frontend = asked.name.address;
	service.frontend_port = asked.name.port;
	service.backend = name->address;
	service.backend_port = name->port;
	service.service = frontend->service;
	kept = bpf_sk_storage_get(&socket_services, ctx->sk, &service, BPF_SK_STORAGE_GET_F_CREATE);
	if (kept)
		*kept = service;
	if (asker.protocol == PROTOCOL_UDP)
		datagram_frontend_set(bpf_get_socket_cookie(ctx), name, &asked);
	return NAME_CHANGED;
}

/*
 * An IPv6 socket that is connected to an IPv4 peer: what it sends to that one comes by here as
 * if it had named it, with the address that connecting has translated already.
 */
static __always_inline bool is_connected_to(struct bpf_sock_addr *ctx,
					    const struct socket_name *name)
{
	struct bpf_sock *sk = ctx->sk;

	return sk->state == SOCKET_CONNECTED && sk->dst_port == name->port &&
	       address_is_mapped(&name->address) && sk->dst_ip4 == address_word(&name->address, 3);
}

/* Of one datagram. A socket stays with the backend it has for a frontend. */
static __always_inline enum naming name_to_send(struct bpf_sock_addr *ctx, struct socket_name *name)
{
	struct datagram_key key = { .socket = bpf_get_socket_cookie(ctx), .name = *name };
	struct asker asker = {};
	struct datagram_frontend asked = { .name = *name };
	struct frontend *frontend;

	if (is_connected_to(ctx, name))
		return NAME_KEPT;
	frontend = frontend_for(ctx, &asker, name);
	if (!frontend) {
		if (asker.protocol == PROTOCOL_UDP)
			datagram_frontend_clear(key.socket, name);
		return NAME_KEPT;
	}
	asked.backend = datagram_backend_kept(&key, frontend);
	if (!asked.backend) {
		asked.backend = choose(frontend, &asker);
		if (asked.backend)
			datagram_backend_keep(&key, frontend, asked.backend);
	}
	if (!backend_name(name, asked.backend))
		return without_backend(ctx, &asker, name);
	datagram_frontend_set(key.socket, name, &asked);
	return NAME_CHANGED;
}

/* Who the program may think it speaks to: the frontend, where the name is that of the backend it got for it. */
static __always_inline enum naming name_to_tell(struct bpf_sock_addr *ctx, struct socket_name *name)
{
	struct socket_service *service = 0;
	struct datagram_frontend *frontend;

	if (ctx->sk->state == SOCKET_CONNECTED || ctx->protocol == PROTOCOL_TCP)
		service = bpf_sk_storage_get(&socket_services, ctx->sk, 0, 0);
	if (service && service->backend_port == name->port &&
	    address_equal(&service->backend, &name->address)) {
		name->address = service->frontend;
		name->port = service->frontend_port;
		return NAME_CHANGED;
	}
	if (ctx->protocol != PROTOCOL_UDP)
		return NAME_KEPT;
	frontend = datagram_frontend_lookup(bpf_get_socket_cookie(ctx), name);
	if (!frontend)
		return NAME_KEPT;
	*name = frontend->name;
	return NAME_CHANGED;
}

/* A node port is the service's, on every address of the node. */
static __always_inline enum naming name_to_bind(struct bpf_sock_addr *ctx)
{
	struct frontend_key key = { .port = ctx->user_port, .protocol = ctx->protocol };
	struct frontend *frontend = key.port ? bpf_map_lookup_elem(&frontends, &key) : 0;

	if (!frontend || !(frontend->flags & FRONTEND_RESERVATION))
		return NAME_KEPT;
	if (bpf_get_netns_cookie(ctx) != node_namespace)
		return NAME_KEPT;
	return reject(SOCKET_ADDRESS_IN_USE);
}

#endif
