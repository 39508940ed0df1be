// How tests of services send packets and say what becomes of them: frames are compared
// byte by byte, so that checksums are, too.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { between, type Family, frameOf, type Packet, sentOf } from './cases.ts'
import { PROTOCOL } from './frames.ts'
import { A, B, C, HOST_MAC, needsRoot, nodeForTests, type Observed, type TestNode } from './node.ts'
import { SERVICE, ServiceMaps } from './services.ts'

export type Run = Observed

/** A node for all tests of a file, with its services. */
export function servicesForTests() {
  const node = nodeForTests()
  let maps: ServiceMaps | undefined
  before(() => {
    if (!needsRoot) maps = new ServiceMaps(node())
  })
  const services = (): ServiceMaps => maps ?? assert.fail('there are no services before the tests run')
  const send = (packet: Packet, family: Family): Run => node().send(sentOf(packet, family))

  /** A test for each family, on a node with three pods that nothing isolates, and no connections. */
  const both = (name: string, run: (family: Family) => void): void => {
    for (const family of [4, 6] as const)
      test(`${name}, IPv${family}`, { skip: needsRoot }, () => {
        node().reset()
        run(family)
      })
  }

  /** In the pod that it is for, one hop further. */
  function arrives(observed: Run, packet: Packet, family: Family): void {
    const timeToLive = (packet.ip?.timeToLive ?? 64) - 1
    const ethernet = { source: HOST_MAC, destination: packet.to.mac }
    const frame = frameOf({ ...packet, ip: { ...packet.ip, timeToLive }, ethernet }, family)
    assert.equal(observed.action, 'redirect', reasonOf(node(), observed))
    assert.equal(hex(observed.frame), hex(frame))
  }

  /** Handed on as it is, to the node's stack or to the pod that the stack has it for. */
  function passes(observed: Run, packet: Packet, family: Family): void {
    assert.equal(observed.action, 'pass', reasonOf(node(), observed))
    assert.equal(hex(observed.frame), hex(frameOf(packet, family)))
  }

  function drops(observed: Run, reason: string): void {
    assert.equal(observed.action, 'drop')
    assert.equal(reasonOf(node(), observed), reason)
  }
  return { node, services, send, both, arrives, passes, drops }
}

export const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex')

export const reasonOf = (node: TestNode, { event }: Run): string =>
  node.world.schema.dropReason.text(event?.drop_reason ?? 0)

export const DNS = { frontend: SERVICE, port: 53, backends: [{ party: B, port: 5353 }] }
/** Of pod a: what it sends, what pod b gets, what pod b answers, and what comes back. */
export const dns = {
  asked: between(A, SERVICE, 40000, 53),
  toB: between(A, B, 40000, 5353),
  toC: between(A, C, 40000, 5353),
  fromB: between(B, A, 5353, 40000),
  answered: between(SERVICE, A, 53, 40000),
}
export const WEB = { frontend: SERVICE, port: 80, protocol: PROTOCOL.tcp, backends: [{ party: B, port: 8080 }] }
export const web = {
  asked: between(A, SERVICE, 40000, 80),
  toB: between(A, B, 40000, 8080),
  toC: between(A, C, 40000, 8080),
  fromB: between(B, A, 8080, 40000),
  answered: between(SERVICE, A, 80, 40000),
}
