// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The device program: what comes to the node from outside, and what leaves it.
 *
 * from_netdev runs on tcx (or clsact) ingress of the devices that outside
 * clients come by, to_netdev on their egress. A packet that has nothing to do
 * with a service passes both untouched.
 */
#include "lib/bpf.h"

SEC("tc")
int from_netdev(struct __sk_buff *skb)
{
	return skb->len ? TC_PASS : TC_DROP;
}

SEC("tc")
int to_netdev(struct __sk_buff *skb)
{
	return skb->len ? TC_PASS : TC_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
