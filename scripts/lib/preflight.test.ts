// Refusals, each with facts made up for it: what is missing is named, with what to do, and nothing is refused without need.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeShortfalls, findShortfalls, parseKernelRelease, readMachine } from './preflight.js'
import { cleanSearchPath } from './programs.js'

type Machine = Parameters<typeof findShortfalls>[0]
type Needs = Parameters<typeof findShortfalls>[1]

const GOOD: Machine = {
  platform: 'linux',
  architecture: 'x64',
  kernelRelease: '6.1.0-18-amd64',
  userId: 0,
  capabilities: (1n << 41n) - 1n,
  bpf: 'works',
  btf: true,
  cgroup2: 'mounted',
  namespaces: true,
  underSudo: false,
  aptGet: true,
  npm: true,
}
const ALL: Needs = { kernel: true, root: true, debianPackages: ['clang'], npmPackages: true }
const CHECK: Needs = { kernel: false, root: false, debianPackages: [], npmPackages: true }

const refusals: readonly { name: string; machine: Partial<Machine>; needs?: Needs; want: readonly RegExp[] }[] = [
  { name: 'a good machine', machine: {}, want: [] },
  { name: 'an unknown answer of bpf(2)', machine: { bpf: 'unknown' }, want: [] },
  { name: 'cgroup v2 to be mounted', machine: { cgroup2: 'mountable' }, want: [] },
  { name: 'not root', machine: { userId: 1000, capabilities: 0n }, want: [/root, but this is user 1000/] },
  {
    name: 'not root any more under sudo',
    machine: { userId: 1000, underSudo: true },
    want: [/sudo node scripts\/start\.js/],
  },
  {
    name: 'root without capabilities',
    machine: { capabilities: 1n << 12n },
    want: [/CAP_SYS_ADMIN, CAP_BPF; .*container/],
  },
  { name: 'bpf(2) refused', machine: { bpf: 'refused' }, want: [/permission to use BPF/] },
  { name: 'no BPF', machine: { bpf: 'missing' }, want: [/CONFIG_BPF_SYSCALL/] },
  { name: 'no BTF', machine: { btf: false }, want: [/CONFIG_DEBUG_INFO_BTF/] },
  {
    name: 'an old kernel',
    machine: { kernelRelease: '5.10.0-8' },
    want: [/kernel 5\.15 or newer, but this is 5\.10\.0-8/],
  },
  { name: 'a much older kernel', machine: { kernelRelease: '4.19.0' }, want: [/kernel/] },
  { name: 'the oldest kernel', machine: { kernelRelease: '5.15.0' }, want: [] },
  { name: 'a release that is none', machine: { kernelRelease: 'odd' }, want: [/this is odd/] },
  { name: 'no cgroup v2', machine: { cgroup2: 'missing' }, want: [/cgroup v2/] },
  { name: 'no namespaces', machine: { namespaces: false }, want: [/CONFIG_NET_NS/] },
  { name: 'another processor', machine: { architecture: 'riscv64' }, want: [/x86-64 or arm64/] },
  {
    name: 'another system',
    machine: { platform: 'darwin', btf: false, aptGet: false },
    want: [/Linux, but this is darwin/],
  },
  { name: 'no apt-get', machine: { aptGet: false }, want: [/Debian packages clang, but there is no apt-get/] },
  { name: 'no npm', machine: { npm: false }, want: [/npm/] },
  {
    name: 'much at once',
    machine: { userId: 7, btf: false, aptGet: false, npm: false },
    want: [/root/, /BTF/, /apt-get/, /npm/],
  },
  {
    name: 'a check as anybody',
    machine: { userId: 7, btf: false, bpf: 'missing', kernelRelease: '4.4', aptGet: false },
    needs: CHECK,
    want: [],
  },
  {
    name: 'set-up as anybody',
    machine: { userId: 7 },
    needs: { ...ALL, root: false },
    want: [/sudo apt-get install clang/],
  },
  {
    name: 'set-up as anybody with all packages',
    machine: { userId: 7 },
    needs: { ...ALL, root: false, debianPackages: [] },
    want: [],
  },
]

for (const { name, machine, needs, want } of refusals) {
  test(`preflight: ${name}`, () => {
    const shortfalls = findShortfalls({ ...GOOD, ...machine }, needs ?? ALL)
    const text = shortfalls.map(({ need, remedy }) => `${need}; ${remedy}`)
    assert.equal(text.length, want.length, text.join('\n'))
    for (const [index, pattern] of want.entries()) assert.match(text[index] ?? '', pattern)
  })
}

test('one shortfall is one line, several are a list, and both say that nothing was changed', () => {
  const [root, btf] = findShortfalls({ ...GOOD, userId: 7, btf: false }, ALL)
  assert.ok(root && btf)
  const one = describeShortfalls([root], 'run the demo')
  assert.doesNotMatch(one, /\n/)
  assert.match(one, /^cannot run the demo: it needs root, but .*What to do: .*Nothing was changed\.$/)
  const both = describeShortfalls([root, btf], 'run the demo')
  assert.equal(both.split('\n').filter(line => line.startsWith('  - ')).length, 2)
  assert.match(both, /Nothing was changed\.$/)
})

test('kernel releases', () => {
  assert.deepEqual(parseKernelRelease('6.18.44-fc-v657'), { major: 6, minor: 18 })
  assert.equal(parseKernelRelease(''), undefined)
})

test('the facts of this machine are read without throwing', () => {
  const machine = readMachine(cleanSearchPath(process.env['PATH']))
  assert.equal(machine.platform, process.platform)
  assert.equal(machine.userId, process.geteuid?.())
})
