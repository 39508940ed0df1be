// The datapath loaded into the benchmark's own process, attached to nothing, with two pods in its maps: for what can be
// measured by running the program on a frame of ours.

import fs from 'node:fs'
import path from 'node:path'
import { ip, mac } from '../../src/ip/index.ts'
import { type Datapath, loadDatapath, policyElement, toAddress } from '../../src/maps/index.ts'
import { ethernet, frame, ipv4, payload, udp } from '../../src/packet/index.ts'
import { BUILD_FOLDER } from './load.ts'

const HOST_MAC = '02:61:78:6f:6e:65'
const SENDER = { address: '10.244.0.1', mac: '0a:00:00:00:00:01', id: 1, identity: 300 } as const
const RECEIVER = { address: '10.244.0.2', mac: '0a:00:00:00:00:02', id: 2, identity: 301 } as const
/** A device that every namespace has: the loopback. */
const IFINDEX = 1
/** Number of both pods' policy map. */
export const POLICY = 1

/** A context for test runs in which the sender's frame is from the sender's device. */
export const SENDER_CONTEXT = { ifindex: IFINDEX } as const

/** A UDP packet from one pod to the other. */
export const FRAME = frame(
  ethernet({ source: SENDER.mac, destination: HOST_MAC }),
  ipv4({ source: SENDER.address, destination: RECEIVER.address }),
  udp({ sourcePort: 40_000, destinationPort: 5000 }),
  payload('measured'),
)

/** With a policy for both pods that allows everything, or nothing: then every frame is dropped and reported. */
export function loadWithPods(verdict: 'allow' | 'deny'): Datapath {
  const object = fs.readFileSync(path.join(BUILD_FOLDER, 'pod.o'))
  const datapath = loadDatapath({ object, hostMac: mac(HOST_MAC) })
  const { maps } = datapath
  using policy = datapath.createPolicyMap(verdict === 'allow' ? anyPeer(datapath) : [])
  maps.policy_maps.set(POLICY, policy)
  for (const { address, id, identity, mac: own } of [SENDER, RECEIVER])
    maps.endpoints.set(toAddress(ip(address)), {
      ifindex: IFINDEX,
      id,
      identity,
      policy: POLICY,
      mac: mac(own),
      flags: 0,
    })
  maps.runtime.set(0, { revision: 1, proxies: 0 })
  return datapath
}

function anyPeer({ schema }: Datapath): ReturnType<typeof policyElement>[] {
  const any = { identity: 0, protocol: 0, port: 0, portPrefixLength: 0, verdict: 'allow', precedence: 1 } as const
  return (['ingress', 'egress'] as const).map(direction => policyElement(schema, { ...any, direction }, 1))
}

/** Elements of a policy map, each for a peer and a port of its own. */
export function policyElements({ schema }: Datapath, count: number): ReturnType<typeof policyElement>[] {
  const common = { direction: 'ingress', protocol: 6, portPrefixLength: 16, verdict: 'allow', precedence: 1 } as const
  return Array.from({ length: count }, (_, i) =>
    policyElement(schema, { ...common, identity: 400 + i, port: 6000 + i }, 16 + i),
  )
}
