// What a full map of connections lets go: not those that are in use, however many a pod
// opens meanwhile. What was lost of a proxied one is made again (proxy-sockets.test.ts).

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { orderedFlowKey } from '../../src/maps/index.ts'
import { back, between, sentOf, tcp } from './cases.ts'
import { ACK, SYN } from './frames.ts'
import { A, B, C, needsRoot, OUTSIDE, TestNode } from './node.ts'

const ROOM = 2_000
const IN_USE = 200
const FLOOD = 4 * ROOM

const used = (index: number) => between(A, B, 1024 + index, 80)
const flooding = (index: number) => between(C, OUTSIDE, 1024 + index, 80)

for (const packets of [1, 2])
  test(`connections in use outlive a flood of ${packets} packets from each of ${FLOOD} ports`, {
    skip: needsRoot,
  }, () => {
    using node = new TestNode({ sizes: { flows: ROOM } })
    node.inside(() => {
      for (let index = 0; index < IN_USE; index++) {
        node.run(sentOf(tcp(used(index), SYN), 4))
        node.run(sentOf(tcp(back(used(index)), SYN | ACK), 4))
      }
      for (let index = 0; index < FLOOD; index++) {
        for (let packet = 0; packet < packets; packet++)
          node.run(sentOf(tcp(flooding(index), packet === 0 ? SYN : ACK), 4))
        if (index % (ROOM / 4) === 0)
          for (let other = 0; other < IN_USE; other++) node.run(sentOf(tcp(used(other), ACK), 4))
      }
    })
    const isKept = (index: number): boolean => {
      const { sourcePort: source_port, destinationPort: destination_port } = used(index)
      const ends = { source: { bytes: A[4] }, destination: { bytes: B[4] } }
      const { key } = orderedFlowKey({ ...ends, source_port, destination_port, protocol: 6 }, 0)
      // One that was lost and made again knows of no answer.
      return (node.datapath.maps.flows.get(key)?.packets[1] ?? 0n) > 0n
    }
    const kept = Array.from({ length: IN_USE }, (_, index) => index).filter(isKept).length
    // The kernel's list is one of each processor, and not exact.
    assert.ok(kept > 0.95 * IN_USE, `${kept} of ${IN_USE} are kept`)
  })
