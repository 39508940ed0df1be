// SPDX-License-Identifier: Apache-2.0
// Programs that use what the loader must resolve: subprograms, callbacks, tail
// calls, constants, globals, maps of maps, a ring buffer.
#include <linux/bpf.h>
#include <linux/types.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct event {
	__u32 sequence;
	__u16 length;
	__u8 kind;
	__u8 pad;
	__u64 sum;
};
const struct event *unused_event __attribute__((unused));

struct limits {
	__u32 smallest;
	__u32 largest;
};

const volatile __u32 verdict = 7;
const volatile struct limits limits = { 1, 2 };
const volatile _Bool loud;
static const volatile __u32 hidden_constant = 40;
__u64 packets;
__u32 table[4] = { 10, 20, 30, 40 };

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 2);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__type(key, __u32);
	__uint(max_entries, 4);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_HASH);
			__type(key, __u32);
			__type(value, __u32);
			__uint(max_entries, 4);
		});
} nested SEC(".maps");

__attribute__((noinline)) int global_sum(struct __sk_buff *skb, int x)
{
	return skb->len + x + table[x & 3];
}

static __attribute__((noinline)) int local_sum(struct __sk_buff *skb, __u32 x)
{
	return global_sum(skb, x) + hidden_constant;
}

static long add(__u32 index, void *total)
{
	*(__u32 *)total += index;
	return 0;
}

SEC("tc") int constant(struct __sk_buff *skb)
{
	return verdict;
}

SEC("tc") int range(struct __sk_buff *skb)
{
	return limits.largest - limits.smallest + (loud ? 1000 : 0);
}

SEC("tc") int subprograms(struct __sk_buff *skb)
{
	packets++;
	return local_sum(skb, 1);
}

SEC("tc") int again(struct __sk_buff *skb)
{
	return local_sum(skb, 2) + global_sum(skb, 3);
}

SEC("syscall") int loop(void *ctx)
{
	__u32 total = 0;

	bpf_loop(10, add, &total, 0);
	return total;
}

struct question {
	__u32 number;
	__u32 answer;
};

SEC("syscall") int answer(struct question *question)
{
	question->answer = question->number + 1;
	return 3;
}

SEC("tc") int tail(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &calls, 0);
	return 99;
}

SEC("tc") int look_inside(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	__u32 inner_key = 5;
	void *inner = bpf_map_lookup_elem(&nested, &key);
	__u32 *value;

	if (!inner)
		return 100;
	value = bpf_map_lookup_elem(inner, &inner_key);
	return value ? *value : 101;
}

SEC("tc") int rewrite(struct __sk_buff *skb)
{
	__u8 byte = 0xee;

	skb->mark = skb->mark + 1;
	skb->cb[0] = skb->ingress_ifindex;
	skb->cb[1] = skb->cb[1] * 2;
	bpf_skb_store_bytes(skb, 0, &byte, 1, 0);
	return -1;
}

SEC("tc") int emit(struct __sk_buff *skb)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 1;
	event->sequence = packets++;
	event->length = skb->len;
	event->kind = 9;
	event->pad = 0;
	event->sum = (__u64)event->sequence << 32;
	if (skb->mark == 13)
		bpf_ringbuf_discard(event, 0);
	else
		bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("tc") int emit_short(struct __sk_buff *skb)
{
	__u8 bytes[5] = { 1, 2, 3, 4, 5 };

	return bpf_ringbuf_output(&events, bytes, sizeof(bytes), 0);
}

SEC("xdp") int xdp_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp") int xdp_drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("tcx/ingress") int drop(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}

SEC("tcx/ingress") int count(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&packets, 1);
	return -1;
}

SEC("cgroup/connect4") int refuse_connect(struct bpf_sock_addr *ctx)
{
	return 0;
}

SEC("cgroup/connect4") int allow_connect(struct bpf_sock_addr *ctx)
{
	return 1;
}

SEC("sk_lookup") int steer(struct bpf_sk_lookup *ctx)
{
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
