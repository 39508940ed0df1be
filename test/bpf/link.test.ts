// Links on real hooks: devices and cgroups of the test's own. Packets are UDP
// datagrams between two namespaces.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { statSync, unlinkSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import {
  attachCgroup,
  attachNetns,
  attachTcx,
  attachXdp,
  BpfError,
  DeviceGoneError,
  Link,
  type LoadedObject,
  loadObject,
  openPinnedLink,
  ProgramChangedError,
  queryTcx,
  type TcxPosition,
} from '../../src/bpf/index.ts'
import { loadSpec, type Namespace, needsRoot, temporaryBpffs, temporaryCgroup, temporaryNamespace } from './support.ts'
import { type UdpPath, udpPath } from './udp.ts'

describe('links', { skip: needsRoot }, () => {
  let object: LoadedObject
  let near: Namespace
  let far: Namespace
  let path: UdpPath
  before(() => {
    object = loadObject(loadSpec('programs'))
    near = temporaryNamespace()
    far = temporaryNamespace()
    near.ip('link', 'add', 'near0', 'type', 'veth', 'peer', 'name', 'far0', 'netns', far.name)
    near.ip('addr', 'add', '10.99.0.1/24', 'dev', 'near0')
    far.ip('addr', 'add', '10.99.0.2/24', 'dev', 'far0')
    near.ip('link', 'set', 'near0', 'up')
    far.ip('link', 'set', 'far0', 'up')
    // A fixed neighbour: address resolution would take its time after every dropped packet.
    const [address] = /ether (\S+)/.exec(near.ip('link', 'show', 'dev', 'near0'))?.slice(1) ?? []
    far.ip('neigh', 'replace', '10.99.0.1', 'lladdr', address ?? '', 'dev', 'far0', 'nud', 'permanent')
    path = udpPath({ from: far, to: near, address: '10.99.0.1' })
  })
  after(() => {
    path?.[Symbol.dispose]()
    object?.close()
    near?.[Symbol.dispose]()
    far?.[Symbol.dispose]()
  })
  const program = (name: string) => object.program(name)
  const tcx = (name: string, position?: TcxPosition) =>
    near.inside(() => attachTcx(program(name), near.ifindex('near0'), 'ingress', position))
  const order = () => near.inside(() => queryTcx(near.ifindex('near0'), 'ingress').map(one => one.programId))
  const reachable = (): boolean => path.delivers()

  test('tcx: attach, exchange under traffic, detach', () => {
    assert.equal(reachable(), true)
    using link = tcx('count')
    const info = link.info()
    assert.deepEqual(
      [info.type, info.programId, info.ifindex, info.attachType],
      ['tcx', program('count').id, near.ifindex('near0'), 'tcx_ingress'],
    )
    assert.equal(reachable(), true)
    link.update(program('drop'), program('count'))
    assert.equal(link.info().programId, program('drop').id)
    assert.equal(reachable(), false)
    assert.throws(() => link.update(program('count'), program('count')), ProgramChangedError)
    link.update(program('count'))
    assert.equal(reachable(), true)
    link.detach()
    assert.deepEqual(order(), [])
  })

  test('tcx: programs run in the order asked for', () => {
    using links = new DisposableStack()
    const middle = links.use(tcx('count'))
    links.use(tcx('constant', { at: 'first' }))
    links.use(tcx('range', { before: middle }))
    links.use(tcx('drop', { after: program('count') }))
    links.use(tcx('rewrite'))
    assert.deepEqual(
      order(),
      ['constant', 'range', 'count', 'drop', 'rewrite'].map(name => program(name).id),
    )
  })

  test('tcx: the same program twice on a hook is refused', () => {
    using links = new DisposableStack()
    links.use(tcx('count'))
    assert.throws(
      () => tcx('count'),
      (error: unknown) =>
        error instanceof BpfError && error.code === 'EEXIST' && /count to tcx ingress/.test(error.message),
    )
  })

  test('closing the last descriptor takes the program off; a pin keeps it', () => {
    using bpffs = temporaryBpffs()
    const pin = `${bpffs.path}/near0`
    {
      using link = tcx('drop')
      link.pin(pin)
    }
    assert.equal(reachable(), false)
    {
      using again = openPinnedLink(pin)
      assert.equal(again.info().programId, program('drop').id)
      again.update(program('count'))
    }
    assert.equal(reachable(), true)
    unlinkSync(pin)
    assert.deepEqual(order(), [])
  })

  test('XDP: one link a device, exchanged like any other', () => {
    using link = near.inside(() => attachXdp(program('xdp_drop'), near.ifindex('near0'), 'generic'))
    assert.equal(reachable(), false)
    assert.deepEqual([link.info().type, link.info().ifindex], ['xdp', near.ifindex('near0')])
    assert.throws(
      () => near.inside(() => attachXdp(program('xdp_pass'), near.ifindex('near0'), 'generic')),
      (error: unknown) => error instanceof BpfError && error.code === 'EBUSY',
    )
    link.update(program('xdp_pass'), program('xdp_drop'))
    assert.equal(reachable(), true)
  })

  test('XDP in the driver', () => {
    using links = new DisposableStack()
    links.use(near.inside(() => attachXdp(program('xdp_drop'), near.ifindex('near0'), 'native')))
    assert.equal(reachable(), false)
  })

  test('cgroup: sockets of the group obey, others do not', () => {
    using cgroup = temporaryCgroup()
    // To connect a UDP socket sends nothing.
    const connects = (join: string): boolean =>
      spawnSync('bash', ['-c', `${join}; exec 3<>/dev/udp/127.0.0.1/9`]).status === 0
    const inGroup = `echo $$ > ${cgroup.path}/cgroup.procs`
    using link = attachCgroup(program('refuse_connect'), cgroup.path, 'cgroup_inet4_connect')
    assert.deepEqual([link.info().type, link.info().attachType], ['cgroup', 'cgroup_inet4_connect'])
    assert.equal(link.info().cgroupId, BigInt(statSync(cgroup.path).ino))
    assert.equal(connects('true'), true)
    assert.equal(connects(inGroup), false)
    link.update(program('allow_connect'), program('refuse_connect'))
    assert.equal(connects(inGroup), true)
  })

  test('network namespace: sk_lookup', () => {
    using link = attachNetns(program('steer'), near.path)
    const info = link.info()
    assert.deepEqual([info.type, info.attachType, info.netnsInode], ['netns', 'sk_lookup', statSync(near.path).ino])
    using again = Link.byId(link.id)
    assert.equal(again.info().programId, program('steer').id)
  })

  test('a device that vanishes is told apart from every other failure', () => {
    near.ip('link', 'add', 'gone0', 'type', 'veth', 'peer', 'name', 'gone1')
    const ifindex = near.ifindex('gone0')
    using tc = near.inside(() => attachTcx(program('count'), ifindex, 'egress'))
    using xdp = near.inside(() => attachXdp(program('xdp_pass'), ifindex, 'generic'))
    assert.equal(tc.isDangling(), false)
    near.ip('link', 'del', 'gone0')
    assert.equal(tc.isDangling(), true)
    assert.equal(xdp.isDangling(), true)
    assert.throws(() => tc.update(program('drop')), DeviceGoneError)
    assert.throws(() => xdp.update(program('xdp_drop')), DeviceGoneError)
    assert.throws(() => near.inside(() => attachTcx(program('count'), ifindex, 'egress')), DeviceGoneError)
    assert.throws(() => near.inside(() => attachXdp(program('xdp_pass'), ifindex, 'generic')), DeviceGoneError)
    assert.throws(() => near.inside(() => queryTcx(ifindex, 'egress')), DeviceGoneError)
  })

  test('a program of the wrong type is refused by the kernel', () => {
    assert.throws(() => near.inside(() => attachTcx(program('xdp_pass'), near.ifindex('near0'), 'ingress')), BpfError)
    assert.throws(() => near.inside(() => attachXdp(program('count'), near.ifindex('near0'), 'generic')), BpfError)
  })
})
