/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Policy: which identity may talk to (ingress) or be reached from (egress) an
 * endpoint, by protocol and destination port.
 *
 * Endpoints with the same resolved policy share one inner map; the agent builds
 * a new inner map for a change and swaps it in, so no packet ever sees half a
 * policy. A direction that no policy isolates is one entry that allows anything.
 * No inner map, or no matching entry: the packet is dropped.
 */
#ifndef AXONEME_POLICY_H
#define AXONEME_POLICY_H

#include "proxy-kind.h"
#include "verdict.h"

enum policy_verdict {
	POLICY_ALLOW = 1,
	POLICY_DENY = 2,
};

enum policy_flags {
	POLICY_AUDIT = 1, /* record denials, of a packet or of what is said, and let them pass */
	POLICY_BY_DEFAULT = 2, /* of a denial: no rule denies it, but none allows it either */
};

/* Bits before the part of the key that a prefix may leave open: identity and direction. */
enum policy_prefix {
	POLICY_PREFIX_ANY_PROTOCOL = 40,
	POLICY_PREFIX_ANY_PORT = 48,
	POLICY_PREFIX_FULL = 64,
};

struct policy_key {
	__u32 prefix_length;
	__u32 identity; /* of the other side; 0: any */
	__u8 direction; /* enum traffic_direction */
	__u8 protocol;
	__be16 port; /* of the destination; the type, for ICMP */
};

struct policy_entry {
	__u32 precedence; /* the higher one decides */
	__u32 rule; /* number of the rule that made this entry */
	__u32 l7; /* number of the rules for what is said on the connection; 0: none */
	__u8 verdict; /* enum policy_verdict */
	__u8 flags; /* enum policy_flags */
	__u8 proxy; /* enum proxy_kind, of an allowance: who judges by those rules */
	__u8 pad;
};

struct policy_map {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_key);
	__type(value, struct policy_entry);
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__array(values, struct policy_map);
} policy_maps SEC(".maps");

struct policy_question {
	__u32 policy; /* key in policy_maps */
	__u32 identity; /* of the other side */
	__be16 port;
	__u8 direction;
	__u8 protocol;
};

struct policy_answer {
	enum drop_reason reason; /* DROP_NONE: allowed */
	__u32 rule; /* 0: no rule decided */
	__u32 l7; /* of an allowance: see struct policy_entry */
	__u8 flags; /* enum policy_flags, of the entry that decided */
	__u8 proxy; /* enum proxy_kind, of an allowance */
	__u8 pad[2];
};

static __noinline int policy_decide(const struct policy_question *question,
				    struct policy_answer *answer)
{
	struct policy_key key = {
		.prefix_length = POLICY_PREFIX_FULL,
		.identity = question->identity,
		.direction = question->direction,
		.protocol = question->protocol,
		.port = question->port,
	};
	struct policy_entry *specific, *any;
	void *map;

	answer->rule = 0;
	answer->flags = 0;
	answer->proxy = PROXY_NONE;
	answer->l7 = 0;
	answer->reason = DROP_POLICY_MISSING;
	map = bpf_map_lookup_elem(&policy_maps, &question->policy);
	if (!map)
		return 0;

	answer->reason = DROP_POLICY_DENIED;
	specific = bpf_map_lookup_elem(map, &key);
	key.identity = 0;
	any = bpf_map_lookup_elem(map, &key);
	if (!specific || (any && any->precedence > specific->precedence))
		specific = any;
	if (!specific)
		return 0;

	answer->rule = specific->rule;
	answer->flags = specific->flags;
	if (specific->verdict != POLICY_ALLOW) {
		answer->reason = denial_reason(specific->flags / POLICY_BY_DEFAULT % 2);
		return 0;
	}
	answer->reason = DROP_NONE;
	answer->proxy = specific->proxy;
	answer->l7 = specific->l7;
	return 0;
}

/* Only an inner map refers to these two; clang leaves them out of BTF then. */
const struct policy_key *anchor_policy_key __attribute__((unused));
const struct policy_entry *anchor_policy_entry __attribute__((unused));
const enum policy_verdict *anchor_policy_verdict __attribute__((unused));
const enum policy_flags *anchor_policy_flags __attribute__((unused));
const enum policy_prefix *anchor_policy_prefix __attribute__((unused));

#endif
