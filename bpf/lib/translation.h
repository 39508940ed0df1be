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
#include "socket.h"

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

const enum translation_flags *anchor_translation_flags __attribute__((unused));

#endif
