// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The socket programs: services for the processes of a control group.
 *
 * A program that connects to a frontend is connected to a backend, and is told
 * that it is the frontend. Its packets go to the backend from the first one on, so
 * a connection costs nothing more once it is made. In the namespaces of pods only
 * connections are translated here; datagrams are by the pod program, so that they
 * can move on to another backend.
 *
 * An IPv6 socket that speaks IPv4 (::ffff:a.b.c.d) is the same here as an IPv4 one.
 */
#include "lib/bpf.h"
#include "lib/address.h"
#include "lib/naming.h"

/* What the kernel reads from the return value. */
enum socket_answer {
	SOCKET_REJECT = 0,
	SOCKET_GO_ON = 1,
};

static __always_inline struct socket_name name_ipv4(struct bpf_sock_addr *ctx)
{
	struct socket_name name = { .port = ctx->user_port };

	address_from_ipv4(&name.address, ctx->user_ip4);
	return name;
}

static __always_inline int answer_ipv4(struct bpf_sock_addr *ctx, const struct socket_name *name,
				       enum naming naming)
{
	if (naming == NAME_CHANGED) {
		ctx->user_ip4 = address_word(&name->address, 3);
		ctx->user_port = name->port;
	}
	return naming == NAME_REJECTED ? SOCKET_REJECT : SOCKET_GO_ON;
}

static __always_inline struct socket_name name_ipv6(struct bpf_sock_addr *ctx)
{
	struct socket_name name = { .port = ctx->user_port };

	address_from_words(&name.address, ctx->user_ip6);
	return name;
}

static __always_inline int answer_ipv6(struct bpf_sock_addr *ctx, const struct socket_name *name,
				       enum naming naming)
{
	if (naming == NAME_CHANGED) {
		ctx->user_ip6[0] = address_word(&name->address, 0);
		ctx->user_ip6[1] = address_word(&name->address, 1);
		ctx->user_ip6[2] = address_word(&name->address, 2);
		ctx->user_ip6[3] = address_word(&name->address, 3);
		ctx->user_port = name->port;
	}
	return naming == NAME_REJECTED ? SOCKET_REJECT : SOCKET_GO_ON;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct socket_name name = name_ipv4(ctx);
	enum naming naming = name_to_connect(ctx, &name);

	return answer_ipv4(ctx, &name, naming);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct socket_name name = name_ipv6(ctx);
	enum naming naming = name_to_connect(ctx, &name);

	return answer_ipv6(ctx, &name, naming);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	struct socket_name name = name_ipv4(ctx);
	enum naming naming = name_to_send(ctx, &name);

	return answer_ipv4(ctx, &name, naming);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	struct socket_name name = name_ipv6(ctx);
	enum naming naming = name_to_send(ctx, &name);

	return answer_ipv6(ctx, &name, naming);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	struct socket_name name = name_ipv4(ctx);
	enum naming naming = name_to_tell(ctx, &name);

	answer_ipv4(ctx, &name, naming);
	return SOCKET_GO_ON;
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	struct socket_name name = name_ipv6(ctx);
	enum naming naming = name_to_tell(ctx, &name);

	answer_ipv6(ctx, &name, naming);
	return SOCKET_GO_ON;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	struct socket_name name = name_ipv4(ctx);
	enum naming naming = name_to_tell(ctx, &name);

	answer_ipv4(ctx, &name, naming);
	return SOCKET_GO_ON;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	struct socket_name name = name_ipv6(ctx);
	enum naming naming = name_to_tell(ctx, &name);

	answer_ipv6(ctx, &name, naming);
	return SOCKET_GO_ON;
}

SEC("cgroup/bind4")
int bind4(struct bpf_sock_addr *ctx)
{
	return name_to_bind(ctx) == NAME_REJECTED ? SOCKET_REJECT : SOCKET_GO_ON;
}

SEC("cgroup/bind6")
int bind6(struct bpf_sock_addr *ctx)
{
	return name_to_bind(ctx) == NAME_REJECTED ? SOCKET_REJECT : SOCKET_GO_ON;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
