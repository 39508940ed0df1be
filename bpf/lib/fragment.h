/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Fragments: the first one carries the ports, and its ports are remembered for
 * the others. A later fragment that comes without (or before) its first one, or
 * reaches into the headers of its first one, is dropped with a reason; none is
 * ever let by unjudged.
 */
#ifndef AXONEME_FRAGMENT_H
#define AXONEME_FRAGMENT_H

#include "packet.h"
#include "verdict.h"

struct fragment_key {
	struct address source;
	struct address destination;
	__u32 id;
	/* 0 in IPv6, where only the first fragment's counts (RFC 8200 4.5) */
	__u8 protocol;
	__u8 family;
	__u8 pad[2];
};

struct fragment_ports {
	__be16 source_port;
	__be16 destination_port;
	__u16 headers_end; /* bytes of the fragmented part that were judged (RFC 3128) */
	__u8 protocol; /* these three are of the whole packet: only its first fragment tells */
	__u8 icmp_kind;
	__u8 icmp_type;
	__u8 pad[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fragments SEC(".maps");

/*
 * Remembers a first fragment's ports; fills in a later one's.
 * Neighbour discovery is never fragmented (RFC 6980).
 */
static __noinline int fragment_track(struct packet *packet)
{
	struct tuple *tuple = &packet->tuple;
	struct fragment_key key = {
		.source = tuple->source,
		.destination = tuple->destination,
		.id = packet->fragment_id,
		.protocol = packet->family == 4 ? tuple->protocol : 0,
		.family = packet->family,
	};
	struct fragment_ports ports = {
		.source_port = tuple->source_port,
		.destination_port = tuple->destination_port,
		.headers_end = packet->l4_offset + packet->l4_header - packet->fragment_start,
		.protocol = tuple->protocol,
		.icmp_kind = packet->icmp_kind,
		.icmp_type = packet->icmp_type,
	};
	struct fragment_ports *known;

	if (packet->icmp_kind == KIND_NEIGHBOUR)
		return DROP_INVALID_PACKET;
	if (packet->fragment == FRAGMENT_FIRST)
		return bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY)
			       ? DROP_FRAGMENT_NOT_FOUND
			       : DROP_NONE;

	known = bpf_map_lookup_elem(&fragments, &key);
	if (!known)
		return DROP_FRAGMENT_NOT_FOUND;
	if (packet->fragment_offset < known->headers_end)
		return DROP_INVALID_PACKET;
	tuple->protocol = known->protocol;
	tuple->source_port = known->source_port;
	tuple->destination_port = known->destination_port;
	packet->icmp_kind = known->icmp_kind;
	packet->icmp_type = known->icmp_type;
	return DROP_NONE;
}

#endif
