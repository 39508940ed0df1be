// Section names: what they mean, also with something behind, and that foreign
// names mean nothing.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sectionKind } from './sections.ts'

const cases: { name: string; want: [type: string, attachType: string | undefined] | undefined }[] = [
  { name: 'tc', want: ['sched_cls', undefined] },
  { name: 'tc/from_pod', want: ['sched_cls', undefined] },
  { name: '?tc', want: ['sched_cls', undefined] },
  { name: 'tcx/ingress', want: ['sched_cls', 'tcx_ingress'] },
  { name: 'tcx/egress/late', want: ['sched_cls', 'tcx_egress'] },
  { name: 'xdp', want: ['xdp', 'xdp'] },
  { name: 'cgroup/connect4', want: ['cgroup_sock_addr', 'cgroup_inet4_connect'] },
  { name: 'cgroup/connect', want: undefined },
  { name: 'kprobe/tcp_connect', want: undefined },
  { name: 'constructor', want: undefined },
  { name: '', want: undefined },
]

for (const { name, want } of cases)
  test(`section "${name}"`, () => {
    const kind = sectionKind(name)
    assert.deepEqual(kind && [kind.type, kind.attachType], want)
  })
