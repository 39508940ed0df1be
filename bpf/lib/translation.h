/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Translations: what becomes of the addresses and ports of a packet, by what the
 * packet has. A translated connection has two: from the client to the frontend,
 * and from the backend back. Each says the whole of the other side's tuple, so
 * that a change of services leaves the connections alone that go by it. Both live
 * as long as the connection's entry in `flows` would (conntrack.h).
 */
#ifndef AXONEME_TRANSLATION_H
#define AXONEME_TRANSLATION_H

#include "conntrack.h"
#include "service.h"
#include "socket.h"
#include "verdict.h"

enum translation_flags {
	TRANSLATION_REPLY = 1, /* of what the backend sends */
	TRANSLATION_SOURCE = 2, /* the client's address is hidden from the backend (SNAT) */
	TRANSLATION_DIRECT = 4, /* the backend's answers do not come by here (DSR) */
	TRANSLATION_PORT = 8, /* of no service: its port is another connection's at the other end */
};

struct translation {
	struct tuple target; /* what the packet has afterwards */
	__u64 expires_ns;
	__u32 backend; /* id */
	__u32 service;
	__u8 tcp_flags
		[2]; /* all flags seen: of [FLOW_ORIGINAL] the client, [FLOW_REPLY] the backend */
	__u8 flags; /* enum translation_flags */
	__u8 pad[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct tuple);
	__type(value, struct translation);
} translations SEC(".maps");

/*
 * Where a pod's packets to a service come from when it is given to itself: an address
 * of no host, 169.254.42.1 or fd61:786f:6e65::1, so that its answers come to us.
 */
static __always_inline void set_loopback(struct address *address, bool ipv4)
{
	__u32 *words = (__u32 *)address->bytes;

	words[0] = ipv4 ? 0 : bpf_htonl(0xfd61786f);
	words[1] = ipv4 ? 0 : bpf_htonl(0x6e650000);
	words[2] = ipv4 ? bpf_htonl(0xffff) : 0;
	words[3] = ipv4 ? bpf_htonl(0xa9fe2a01) : bpf_htonl(1);
}

static __always_inline bool is_loopback(const struct address *address)
{
	struct address loopback;

	set_loopback(&loopback, address_is_mapped(address));
	return address_equal(address, &loopback);
}

/*
 * What one packet is translated by, worked out before anything is changed. One at a
 * time a CPU: it is too large for the stack.
 */
struct rewrite {
	struct tuple from; /* the packet's; of an ICMP error: that of packets that go its way */
	struct translation entry; /* of `from`; its target is what the packet gets */
	struct tuple back_from; /* room for the other direction's */
	struct translation back;
	struct tuple former; /* room for what the client of a connection that is over goes by */
	struct flow_key flow; /* room for that of the connection as the backend has it */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rewrite);
} rewrites SEC(".maps");

static __always_inline struct rewrite *rewrite_room(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&rewrites, &zero);
}

static __always_inline bool tuple_equal(const struct tuple *a, const struct tuple *b)
{
	return address_equal(&a->source, &b->source) &&
	       address_equal(&a->destination, &b->destination) &&
	       a->source_port == b->source_port && a->destination_port == b->destination_port &&
	       a->protocol == b->protocol;
}

static __always_inline struct translation *translation_lookup(const struct tuple *tuple, __u64 now)
{
	struct translation *entry = bpf_map_lookup_elem(&translations, tuple);

	return entry && entry->expires_ns > now ? entry : 0;
}

/*
 * Fills in the other direction's entry, with its key. The one is the other turned
 * around, whatever of addresses and ports is translated.
 */
static __always_inline void rewrite_turn(struct rewrite *rewrite)
{
	tuple_turn(&rewrite->back_from, &rewrite->entry.target);
	rewrite->back = rewrite->entry;
	tuple_turn(&rewrite->back.target, &rewrite->from);
	rewrite->back.flags ^= TRANSLATION_REPLY;
}

/*
 * Remembers the other direction's entry for as long as this one. It is made again where
 * a full map has lost it, and left alone where it is another connection's by now.
 */
__noinline int translation_follow(struct rewrite *rewrite)
{
	struct translation *back;

	if (!rewrite)
		return 0;
	rewrite_turn(rewrite);
	back = bpf_map_lookup_elem(&translations, &rewrite->back_from);
	if (!back)
		return bpf_map_update_elem(&translations, &rewrite->back_from, &rewrite->back,
					   BPF_NOEXIST);
	if (!tuple_equal(&back->target, &rewrite->back.target))
		return 0;
	back->expires_ns = rewrite->back.expires_ns;
	back->tcp_flags[0] |= rewrite->back.tcp_flags[0];
	back->tcp_flags[1] |= rewrite->back.tcp_flags[1];
	return 0;
}

/* Accounts for one packet that goes by the entry of `rewrite->from`, and takes a copy of it for the packet. */
static __always_inline void translation_use(struct rewrite *rewrite, struct translation *entry,
					    __u8 tcp_flags, __u64 now)
{
	bool reply = entry->flags & TRANSLATION_REPLY;
	__u8 unseen = tcp_flags & ~(reply ? entry->tcp_flags[1] : entry->tcp_flags[0]);
	__u64 expires;

	if (unseen && reply)
		entry->tcp_flags[1] |= tcp_flags;
	else if (unseen)
		entry->tcp_flags[0] |= tcp_flags;
	expires = now + connection_lifetime(entry->tcp_flags, rewrite->from.protocol);
	if (!unseen && expires >= entry->expires_ns && expires <= entry->expires_ns + NANOSECONDS) {
		rewrite->entry = *entry;
		return;
	}
	/* At most once a second, as flow_touch. */
	entry->expires_ns = expires;
	rewrite->entry = *entry;
	translation_follow(rewrite);
}

/* Whether nothing more is to come by an entry, though its time is not up. */
static __always_inline bool is_over(const struct translation *entry, __u8 protocol)
{
	if (protocol == PROTOCOL_TCP)
		return tcp_is_closed(entry->tcp_flags);
	return entry->backend && !backend_lookup(entry->backend);
}

/* Forgets what the client goes by whose answers, by `answers`, are those to `target`. */
static __always_inline void forget_client(struct rewrite *rewrite,
					  const struct translation *answers,
					  const struct tuple *target)
{
	struct translation *asked;

	tuple_turn(&rewrite->former, &answers->target);
	asked = bpf_map_lookup_elem(&translations, &rewrite->former);
	if (asked && tuple_equal(&asked->target, target))
		bpf_map_delete_elem(&translations, &rewrite->former);
}

/*
 * Whether a live connection that nobody translates is what the backend would take this one
 * for. Not static, see parse_packet.
 */
__noinline int is_taken_untranslated(struct rewrite *rewrite, __u64 now)
{
	struct flow *flow;

	if (!rewrite)
		return false;
	flow_key_init(&rewrite->flow, &rewrite->entry.target);
	flow = flow_lookup(&rewrite->flow, now);
	if (!flow && proxies_in_use()) {
		rewrite->flow.leg = LEG_TO_PROXY;
		flow = flow_lookup(&rewrite->flow, now);
	}
	return flow && !(flow->flags & FLOW_TRANSLATED) && !flow_is_closed(flow);
}

/* In the place of an entry's time, while the CPU that has it writes what it is to be. */
#define BEING_CLAIMED (~0ULL)

/*
 * Whether the other direction's key is free: nobody's, or of a connection that is over, or
 * this one's already. Of several CPUs that want what is there, one has it.
 */
static __always_inline bool is_claimed(struct rewrite *rewrite, __u64 now)
{
	struct translation *back;
	__u64 expires;
	bool own;

	if (!bpf_map_update_elem(&translations, &rewrite->back_from, &rewrite->back, BPF_NOEXIST))
		return true;
	back = bpf_map_lookup_elem(&translations, &rewrite->back_from);
	if (!back)
		return false;
	expires = back->expires_ns;
	own = tuple_equal(&back->target, &rewrite->back.target);
	if (expires == BEING_CLAIMED ||
	    (expires > now && !own && !is_over(back, rewrite->back_from.protocol)) ||
	    __sync_val_compare_and_swap(&back->expires_ns, expires, BEING_CLAIMED) != expires)
		return false;
	if (!own)
		forget_client(rewrite, back, &rewrite->entry.target);
	if (!bpf_map_update_elem(&translations, &rewrite->back_from, &rewrite->back, BPF_ANY))
		return true;
	back->expires_ns = expires;
	return false;
}

#define PORT_ATTEMPTS 32

/* Ports that translated connections come from: none that the node's or a pod's own sockets choose by themselves. */
const volatile __u16 port_first = 1024;
const volatile __u16 port_count = 28976;

static __always_inline __be16 any_port(__u32 number)
{
	return bpf_htons(port_first + number % port_count);
}

/*
 * Records a new connection in both directions: `rewrite->from` as its client sends it, and
 * `rewrite->entry`, of which target, backend, service, tcp_flags and flags are given. The
 * source port of the target is what is asked for; where the backend has a connection from
 * there, by another frontend or by none, it becomes another.
 * @return a drop reason; 0 when both entries are in place
 */
__noinline int translation_open(struct rewrite *rewrite, __u64 now)
{
	__u32 start = bpf_get_prandom_u32();

	if (!rewrite)
		return DROP_NAT_NO_MAPPING;
	rewrite->entry.expires_ns =
		now + connection_lifetime(rewrite->entry.tcp_flags, rewrite->from.protocol);
	rewrite_turn(rewrite);
	for (__u32 i = 0; i < PORT_ATTEMPTS; i++) {
		if (!is_taken_untranslated(rewrite, now) && is_claimed(rewrite, now))
			return bpf_map_update_elem(&translations, &rewrite->from, &rewrite->entry,
						   BPF_ANY)
				       ? DROP_CT_INSERT_FAILED
				       : DROP_NONE;
		rewrite->entry.target.source_port = any_port(start + i * 7919);
		rewrite->back_from.destination_port = rewrite->entry.target.source_port;
	}
	return DROP_NAT_NO_MAPPING;
}

/* Forgets the connection that `translation_open` has just recorded, and that nobody has seen. */
static __always_inline void translation_forget(void)
{
	struct rewrite *rewrite = rewrite_room();

	if (!rewrite)
		return;
	bpf_map_delete_elem(&translations, &rewrite->from);
	bpf_map_delete_elem(&translations, &rewrite->back_from);
}

const enum translation_flags *anchor_translation_flags __attribute__((unused));

#endif
