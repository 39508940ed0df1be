// A thread that opens a connection through a loaded device program whenever it is told
// to, at the same moment as its like. What it is told and tells is in shared words.

import { workerData } from 'node:worker_threads'
import { Program } from '../../src/bpf/index.ts'
import { Namespace, withNamespace } from '../../src/net/index.ts'

export type ClaimingData = {
  readonly programId: number
  readonly namespace: string
  readonly ifindex: number
  readonly frame: Uint8Array
  /** [round, how many have done it, source port of the first thread, of the second …]; round -1 ends. */
  readonly shared: Int32Array
  readonly number: number
}

const { programId, namespace, ifindex, frame, shared, number } = workerData as ClaimingData
const program = Program.byId(programId)
const context = { ifindex, ingress_ifindex: ifindex }
const packet = Uint8Array.from(frame)
/** Behind Ethernet and a plain IPv4 header. */
const SOURCE_PORT = 34
const TC_REDIRECT = 7

withNamespace(Namespace.open(namespace), () => {
  const told = (): number => Atomics.load(shared, 0)
  Atomics.add(shared, 1, 1)
  for (let round = 1; told() >= 0; round++) {
    // A moment's busy waiting: woken threads would come too far apart.
    while (told() < round) if (told() < 0) return
    const { returnValue, packet: left } = program.testRun({ packet, context })
    shared[2 + number] = returnValue === TC_REDIRECT ? Buffer.from(left).readUInt16BE(SOURCE_PORT) : 0
    Atomics.add(shared, 1, 1)
    Atomics.notify(shared, 1)
  }
})
