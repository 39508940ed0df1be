/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What every part of the datapath includes: kernel UAPI, helpers, and a few names the UAPI headers of older systems lack. */
#ifndef AXONEME_BPF_H
#define AXONEME_BPF_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

typedef _Bool bool;
#define true 1
#define false 0

/* Values of tcx and of clsact's direct action mode are the same. */
enum tc_action {
	TC_PASS = 0, /* TC_ACT_OK, TCX_PASS */
	TC_DROP = 2, /* TC_ACT_SHOT, TCX_DROP */
	TC_REDIRECT = 7, /* TC_ACT_REDIRECT, TCX_REDIRECT */
};

/* Of the C library, which a BPF program has not. */
enum address_family {
	AF_INET = 2,
	AF_INET6 = 10,
};

#define NANOSECONDS 1000000000ULL

#endif
