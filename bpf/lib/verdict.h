/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Verdicts, drop reasons and their counters.
 *
 * The enums are the one declaration of these numbers: the control plane reads
 * them from BTF. Where Hubble has a number for the same thing, it is that
 * number; our own begin at 220.
 */
#ifndef AXONEME_VERDICT_H
#define AXONEME_VERDICT_H

#include "bpf.h"

enum verdict {
	VERDICT_UNKNOWN = 0,
	VERDICT_FORWARDED = 1,
	VERDICT_DROPPED = 2,
	VERDICT_ERROR = 3,
	VERDICT_AUDIT = 4,
	VERDICT_REDIRECTED = 5,
};

enum drop_reason {
	DROP_NONE = 0,
	DROP_INVALID_SOURCE_MAC = 130,
	DROP_INVALID_DESTINATION_MAC = 131,
	DROP_INVALID_SOURCE_IP = 132,
	DROP_POLICY_DENIED = 133, /* no rule allows it, and a policy isolates the pod */
	DROP_INVALID_PACKET = 134,
	DROP_UNKNOWN_L4 = 137,
	DROP_UNSUPPORTED_L3 = 139,
	DROP_STALE_IP = 151, /* routed to a device that does not own the address (any more) */
	DROP_CSUM_L4 = 154, /* its checksum can not follow a translation: SCTP in fragments */
	DROP_CT_INSERT_FAILED = 155,
	DROP_NO_SERVICE =
		158, /* no backend: of the service at all, or of this node where the traffic policy wants one */
	DROP_NAT_NO_MAPPING =
		161, /* every port of the node's address is taken towards that backend */
	DROP_NO_FIB = 169, /* the node has no route to where the translated packet goes */
	DROP_IS_CLUSTER_IP = 174, /* a ClusterIP is not there for clients outside of the cluster */
	DROP_FRAGMENT_NOT_FOUND = 175, /* a later fragment whose first one was not seen */
	DROP_NOT_IN_SOURCE_RANGE = 177,
	DROP_SOCKET_LOOKUP_FAILED = 178, /* no proxy listens, or none has the connection */
	DROP_SOCKET_ASSIGN_FAILED =
		179, /* the packet can not be given to the proxy's socket: a fragment */
	DROP_POLICY_DENY = 181, /* an explicit deny rule */
	DROP_VLAN_FILTERED = 182,
	DROP_TTL_EXCEEDED = 196, /* the packet's last hop was here */
	DROP_POLICY_MISSING = 220, /* the endpoint's policy map is not there: fail closed */
	DROP_IPV4_MAPPED_ADDRESS = 221, /* ::ffff:0:0/96 on the wire */
	DROP_PACKET_TOO_BIG = 222, /* for the device that a translated packet would leave by */
	DROP_PROXY_MIDSTREAM =
		223, /* a proxy is to judge what is said from now on, and can not join in */
	DROP_PROXY_CONFLICT =
		224, /* the two ends' policies want different proxies, or TLS contexts */
};

enum traffic_direction {
	DIRECTION_UNKNOWN = 0,
	DIRECTION_INGRESS = 1, /* to a pod */
	DIRECTION_EGRESS = 2, /* from a pod */
};

/*
 * A denial that is only recorded, see POLICY_AUDIT: whose policy it is of, and why, in
 * the one byte that a flow has for it. 0: there is none.
 */
enum audit {
	AUDIT_INGRESS = 1, /* DIRECTION_INGRESS */
	AUDIT_EGRESS = 2, /* DIRECTION_EGRESS */
	AUDIT_BY_DEFAULT = 4, /* no rule allows it; else one denies it */
};

static __always_inline enum traffic_direction audit_direction(__u8 audit)
{
	return audit & (AUDIT_INGRESS | AUDIT_EGRESS);
}

/* Reckoned, not chosen: of two constants the verifier would follow each to the program's end. */
static __always_inline enum drop_reason denial_reason(bool by_default)
{
	return DROP_POLICY_DENY - by_default * (DROP_POLICY_DENY - DROP_POLICY_DENIED);
}

static __always_inline enum drop_reason audit_reason(__u8 audit)
{
	return denial_reason(audit / AUDIT_BY_DEFAULT);
}

/*
 * Counter index: reason * 4 + direction; reason DROP_NONE counts what was forwarded.
 * Behind AUDIT_COUNTERS stand those that passed in spite of the reason.
 */
enum packet_counters {
	AUDIT_COUNTERS = 1024,
};

struct packet_count {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * AUDIT_COUNTERS);
	__type(key, __u32);
	__type(value, struct packet_count);
} packet_counts SEC(".maps");

static __always_inline void count_packet(enum verdict verdict, enum drop_reason reason,
					 enum traffic_direction direction, __u32 bytes)
{
	__u32 index = (__u32)reason * 4 + direction;
	struct packet_count *count;

	if (verdict == VERDICT_AUDIT)
		index += AUDIT_COUNTERS;
	count = bpf_map_lookup_elem(&packet_counts, &index);

	if (!count)
		return;
	count->packets++;
	count->bytes += bytes;
}

/* BTF keeps only types that something refers to. */
const enum verdict *anchor_verdict __attribute__((unused));
const enum drop_reason *anchor_drop_reason __attribute__((unused));
const enum traffic_direction *anchor_traffic_direction __attribute__((unused));
const enum audit *anchor_audit __attribute__((unused));
const enum packet_counters *anchor_packet_counters __attribute__((unused));

#endif
