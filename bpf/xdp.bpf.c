// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The driver's program: what the device program would send on to another node, before
 * the kernel makes a buffer of it. Everything else passes to the device program.
 */
#include "lib/bpf.h"

SEC("xdp")
int xdp_netdev(struct xdp_md *xdp)
{
	return xdp->data ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
