// The description of compiled objects: what clang writes is read as meant, and
// what the loader cannot do is refused with a reason. Needs clang, not root.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { compileCodec, FormatError, MAP_FLAG, parseObject } from '../../src/bpf/index.ts'
import { compileObject, compileText, loadSpec } from './support.ts'

describe('object', () => {
  test('maps as they are declared', () => {
    const { maps } = loadSpec('maps')
    const shape = (name: string) => {
      const map = maps.get(name)
      assert.ok(map, name)
      return [map.type, map.keySize, map.valueSize, map.maxEntries, map.flags]
    }
    assert.deepEqual(shape('a_hash'), ['hash', 4, 8, 8, 0])
    assert.deepEqual(shape('an_lpm_trie'), ['lpm_trie', 8, 4, 8, MAP_FLAG.NO_PREALLOC])
    assert.deepEqual(shape('a_ring'), ['ringbuf', 0, 0, 4096, 0])
    assert.deepEqual(shape('a_hash_of_maps'), ['hash_of_maps', 4, 4, 8, 0])
    assert.deepEqual(shape('an_array_of_maps'), ['array_of_maps', 4, 4, 8, 0])
    assert.deepEqual(shape('a_socket_storage'), ['sk_storage', 4, 8, 0, MAP_FLAG.NO_PREALLOC])
    assert.deepEqual(shape('untyped'), ['hash', 3, 5, 8, 0])
    assert.equal(maps.get('a_hash')?.pinByName, true)
    assert.equal(maps.get('an_array')?.pinByName, false)
    const inner = maps.get('a_hash_of_maps')?.inner
    assert.deepEqual([inner?.type, inner?.keySize, inner?.valueSize, inner?.maxEntries], ['hash', 4, 4, 4])
  })

  test('programs by their section', () => {
    const { programs, license } = loadSpec('programs')
    const kind = (name: string) => {
      const program = programs.get(name)
      return [program?.section, program?.type, program?.attachType]
    }
    assert.equal(license, 'Dual BSD/GPL')
    assert.deepEqual(kind('constant'), ['tc', 'sched_cls', undefined])
    assert.deepEqual(kind('drop'), ['tcx/ingress', 'sched_cls', 'tcx_ingress'])
    assert.deepEqual(kind('xdp_pass'), ['xdp', 'xdp', 'xdp'])
    assert.deepEqual(kind('refuse_connect'), ['cgroup/connect4', 'cgroup_sock_addr', 'cgroup_inet4_connect'])
    assert.deepEqual(kind('steer'), ['sk_lookup', 'sk_lookup', 'sk_lookup'])
    assert.deepEqual(kind('loop'), ['syscall', 'syscall', undefined])
    assert.equal(programs.has('global_sum'), false, 'a subprogram is no program')
  })

  test('variables stand where C put them, and decode to what C wrote', () => {
    const { variables, dataSections, btf } = loadSpec('maps')
    const sample = variables.get('sample')
    const section = dataSections.get('.rodata')
    assert.ok(sample && section)
    const view = new DataView(section.content.buffer)
    assert.deepEqual(compileCodec(btf, sample.typeId).decode(view, sample.offset), {
      u8: 200,
      s8: -100,
      u16: 60000,
      s16: -30000,
      u32: 4000000000,
      s32: -2000000000,
      u64: 0xfedcba9876543210n,
      s64: -5n,
      be16: 0x1234,
      be32: 0x7f000001,
      be64: 258n,
      yes: true,
      color: 0x80000000,
      nested: { port: 80, address: 1 },
      nesteds: [
        { port: 1, address: 0 },
        { port: 2, address: 2 },
      ],
      words: [1, 2, 3],
      bytes: Uint8Array.of(1, 2, 3, 4, 5, 6),
      name: 'sample',
      low: 5,
      high: 100,
      negative: -3,
      either: Uint8Array.of(9, 8, 7, 6),
    })
    assert.deepEqual(btf.enumValues('color'), { COLOR_RED: 1, COLOR_GREEN: 2, COLOR_HIGH: 0x80000000 })
  })

  test('layouts of types that only a pointer keeps', () => {
    const layout = loadSpec('programs').btf.struct('event')
    assert.deepEqual(
      [layout.size, layout.field('kind').offset, layout.field('sum').offset, layout.field('sum').size],
      [16, 6, 8, 8],
    )
  })

  test('a stripped object is as good', () => {
    const folder = mkdtempSync(join(tmpdir(), 'axo-strip-'))
    try {
      const file = join(folder, 'programs.o')
      writeFileSync(file, compileObject('programs'))
      execFileSync('llvm-strip', ['-g', file])
      const stripped = readFileSync(file)
      assert.ok(stripped.length < compileObject('programs').length)
      const [plain, bare] = [loadSpec('programs'), parseObject(stripped)]
      assert.deepEqual([...bare.programs.keys()].sort(), [...plain.programs.keys()].sort())
      assert.deepEqual(bare.btf.bytes, plain.btf.bytes)
      for (const [name, program] of plain.programs) assert.deepEqual(bare.programs.get(name)?.image, program.image)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  const refused: { name: string; text: string; says: RegExp }[] = [
    {
      name: 'CO-RE relocations',
      text: `struct task { int pid; } __attribute__((preserve_access_index));
        SEC("tc") int f(struct __sk_buff *skb) { struct task *t = (void *)(long)skb->mark; return t->pid; }`,
      says: /CO-RE relocations/,
    },
    {
      name: 'an unknown section',
      text: 'SEC("kprobe/x") int f(void *ctx) { return 0; }',
      says: /section name "kprobe\/x"/,
    },
    {
      name: 'an undefined symbol',
      text: 'extern int elsewhere; SEC("tc") int f(void *ctx) { return elsewhere; }',
      says: /elsewhere is not defined/,
    },
    {
      name: 'a kernel function',
      text: `extern int kernel_function(void) __attribute__((section(".ksyms")));
        SEC("tc") int f(void *ctx) { return kernel_function(); }`,
      says: /kernel_function is not defined/,
    },
    {
      name: 'initial values of a map',
      text: `struct inner { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u32); __uint(max_entries, 1); } one SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 1); __type(key, __u32); __array(values, struct inner); }
        outer SEC(".maps") = { .values = { &one } };
        SEC("tc") int f(void *ctx) { __u32 zero = 0; return bpf_map_lookup_elem(&outer, &zero) ? 1 : 0; }`,
      says: /initial values/,
    },
    {
      name: 'a map of maps without an inner map',
      text: `struct { __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __type(key, __u32); __uint(max_entries, 1); } outer SEC(".maps");
        SEC("tc") int f(void *ctx) { __u32 zero = 0; return bpf_map_lookup_elem(&outer, &zero) ? 1 : 0; }`,
      says: /declares no inner map/,
    },
    {
      name: 'an unknown map type',
      text: `struct { __uint(type, 999); __type(key, __u32); __uint(max_entries, 1); } odd SEC(".maps");
        SEC("tc") int f(void *ctx) { __u32 zero = 0; return bpf_map_lookup_elem(&odd, &zero) ? 1 : 0; }`,
      says: /map odd: unknown map type 999/,
    },
  ]
  for (const { name, text, says } of refused)
    test(`refused: ${name}`, () => {
      const bytes = compileText('refused', text)
      assert.throws(
        () => parseObject(bytes),
        (error: unknown) => error instanceof FormatError && says.test(error.message),
      )
    })
})
