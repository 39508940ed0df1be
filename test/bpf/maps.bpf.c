// SPDX-License-Identifier: Apache-2.0
// One map of every type the library drives, and types for its codecs.
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

enum color { COLOR_RED = 1, COLOR_GREEN = 2, COLOR_HIGH = 0x80000000 };

struct nested {
	__be16 port;
	__u16 pad0;
	__be32 address;
};

struct every_type {
	__u8 u8;
	__s8 s8;
	__u16 u16;
	__s16 s16;
	__u32 u32;
	__s32 s32;
	__u64 u64;
	__s64 s64;
	__be16 be16;
	__be32 be32;
	__be64 be64;
	_Bool yes;
	enum color color;
	struct nested nested;
	struct nested nesteds[2];
	__be32 words[3];
	__u8 bytes[6];
	char name[10];
	__u32 low : 3;
	__u32 high : 7;
	__s32 negative : 5;
	union {
		__u32 word;
		__u8 octets[4];
	} either;
	__u64 _pad;
};

const volatile struct every_type sample = {
	.u8 = 200,
	.s8 = -100,
	.u16 = 60000,
	.s16 = -30000,
	.u32 = 4000000000u,
	.s32 = -2000000000,
	.u64 = 0xfedcba9876543210ull,
	.s64 = -5,
	.be16 = 0x3412, /* 0x1234 in network order */
	.be32 = 0x0100007f, /* 127.0.0.1 */
	.be64 = 0x0201000000000000ull, /* 258 */
	.yes = 1,
	.color = COLOR_HIGH,
	.nested = { .port = 0x5000, .address = 0x01000000 },
	.nesteds = { { .port = 0x0100, .address = 0 }, { .port = 0x0200, .address = 0x02000000 } },
	.words = { 0x01000000, 0x02000000, 0x03000000 },
	.bytes = { 1, 2, 3, 4, 5, 6 },
	.name = "sample",
	.low = 5,
	.high = 100,
	.negative = -3,
	.either = { .octets = { 9, 8, 7, 6 } },
};

struct prefix {
	__u32 prefixlen;
	__u8 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct every_type);
	__uint(max_entries, 8);
} everything SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 8);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} a_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 8);
} a_lru_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct prefix);
	__type(value, __u32);
	__uint(max_entries, 8);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} an_lpm_trie SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 8);
} an_array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 8);
} a_percpu_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 8);
} a_percpu_array SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 4);
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__type(key, __u32);
	__uint(max_entries, 8);
	__array(values, struct inner);
} a_hash_of_maps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 8);
	__array(values, struct inner);
} an_array_of_maps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 8);
} a_prog_array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__type(key, int);
	__type(value, struct nested);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} a_socket_storage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} a_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(key_size, 3);
	__uint(value_size, 5);
	__uint(max_entries, 8);
} untyped SEC(".maps");

SEC("tc") int nothing(struct __sk_buff *skb)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
