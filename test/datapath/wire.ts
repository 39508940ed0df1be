// A node with real devices between real namespaces: what a test run cannot show.
// Frames go in at a pod's own end of its veth pair and are read at the others' ends.
// The namespaces are the test's own and lead nowhere.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { attachTcx, type Link } from '../../src/bpf/index.ts'
import { formatIp, formatMac } from '../../src/ip/index.ts'
import {
  addAddress,
  addRoute,
  createNamespace,
  linkOf,
  type Namespace,
  NetlinkSocket,
  type Request,
  replaceNeighbour,
  setLink,
  withNamespace,
  writeSysctls,
} from '../../src/net/index.ts'
import { check } from '../../src/sys/errors.ts'
import { addressOf, close, keepAlive, SYSCALL, stableBuffer, syscall } from '../../src/sys/native.ts'
import { between, type Ends, frameOf, isPod, udp } from './cases.ts'
import { udp as buildUdp } from './frames.ts'
import { A, B, HOST, HOST_MAC, OUTSIDE, type Party, type Pod, TestNode, UPLINK } from './node.ts'

const AF_PACKET = 17
const SOCK_RAW = 3
const SOCK_NONBLOCK = 0o4000
const ETH_P_ALL_BIG_ENDIAN = 0x0300
const EAGAIN = 11
/** Pass and drop are told apart by a frame sent afterwards, never by this; it only bounds a test that fails. */
const PATIENCE_MS = 10_000

/** A raw socket on a device. */
class PacketSocket implements Disposable {
  readonly #fd: number
  readonly #buffer = stableBuffer(1 << 16)

  constructor(namespace: Namespace, ifindex: number) {
    this.#fd = withNamespace(namespace, () =>
      check('open packet socket', syscall(SYSCALL.socket, AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, ETH_P_ALL_BIG_ENDIAN)),
    )
    const address = stableBuffer(20)
    address.writeUInt16LE(AF_PACKET, 0)
    address.writeUInt16LE(ETH_P_ALL_BIG_ENDIAN, 2)
    address.writeInt32LE(ifindex, 4)
    check('bind packet socket', syscall(SYSCALL.bind, this.#fd, addressOf(address), address.length))
    keepAlive(address)
  }

  send(frame: Uint8Array): void {
    const copy = stableBuffer(frame.length)
    copy.set(frame)
    check('send frame', syscall(SYSCALL.sendto, this.#fd, addressOf(copy), frame.length))
    keepAlive(copy)
  }

  receive(): Buffer | undefined {
    const length = syscall(SYSCALL.recvfrom, this.#fd, addressOf(this.#buffer), this.#buffer.length, 0, 0, 0)
    if (length === -EAGAIN) return undefined
    return Buffer.from(this.#buffer.subarray(0, check('receive frame', length)))
  }

  [Symbol.dispose](): void {
    close(this.#fd)
  }
}

type End = { readonly namespace: Namespace; readonly socket: PacketSocket; readonly received: Buffer[] }

export class WiredNode implements Disposable {
  readonly node: TestNode
  readonly #ends = new Map<string, End>()
  readonly #links: Link[] = []
  #markers = 0

  constructor() {
    const namespaces = new Map(PARTIES.map(party => [party.name, quietNamespace()]))
    this.node = new TestNode({ peerNamespace: party => namespaces.get(party.name) })
    const { namespace, datapath } = this.node
    writeSysctls(namespace, {
      'net/ipv4/ip_forward': 1,
      'net/ipv6/conf/all/forwarding': 1,
      // As loose as an administrator may have it: whatever the datapath lets through, the stack carries on.
      'net/ipv4/conf/all/rp_filter': 0,
      'net/ipv4/conf/all/accept_source_route': 1,
    })
    using netlink = NetlinkSocket.open({ namespace })
    for (const party of PARTIES) {
      const end = namespaces.get(party.name)
      if (end) this.#ends.set(party.name, { namespace: end, socket: openEnd(end), received: [] })
      netlink.run(...routesTo(party))
    }
    netlink.run(
      addAddress({ index: UPLINK, address: formatIp(HOST[4]), prefixLength: 24 }),
      addAddress({ index: UPLINK, address: formatIp(HOST[6]), prefixLength: 64, noDad: true }),
    )
    for (const { ifindex } of [A, B])
      this.#links.push(
        ...withNamespace(namespace, () => [
          attachTcx(datapath.programs.from_pod, ifindex, 'ingress'),
          attachTcx(datapath.programs.to_pod, ifindex, 'egress'),
        ]),
      )
  }

  /**
   * Sends a frame at a party's end, then one that surely arrives, from the same end: when that one has arrived, so has
   * the first, if it ever does.
   * @returns frames that arrived because of the first, and the reasons of drops
   */
  async send(from: Party, frame: Uint8Array): Promise<{ at: (party: Party) => Buffer[]; dropped: string[] }> {
    const marker = `marker ${++this.#markers}`
    const to = from === B ? A : B
    const end = this.#endOf(from)
    for (const { received } of this.#ends.values()) received.length = 0
    this.node.drainEvents()
    end.socket.send(frame)
    const last = udp(between(from, to, 9, 9), { ethernet: { destination: HOST_MAC } })
    end.socket.send(frameOf({ ...last, payload: ends => udpWith(ends, marker) }, 4))
    await this.#waitFor(this.#endOf(to), marker)
    const { schema } = this.node.world
    const events = this.node.drainEvents().filter(event => event.drop_reason !== 0)
    return {
      at: party =>
        this.#endOf(party).received.filter(received => !received.includes('marker ') && !isNodesOwn(received)),
      dropped: events.map(event => schema.dropReason.text(event.drop_reason)),
    }
  }

  async #waitFor(end: End, marker: string): Promise<void> {
    for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await sleep(1)) {
      for (const { socket, received } of this.#ends.values())
        for (let frame = socket.receive(); frame; frame = socket.receive()) received.push(frame)
      if (end.received.some(frame => frame.includes(marker))) return
    }
    assert.fail(`${marker} did not arrive`)
  }

  #endOf(party: Party): End {
    return this.#ends.get(party.name) ?? assert.fail(`${party.name} is not wired`)
  }

  [Symbol.dispose](): void {
    for (const link of this.#links) link.close()
    for (const { socket, namespace } of this.#ends.values()) {
      socket[Symbol.dispose]()
      namespace.close()
    }
    this.node[Symbol.dispose]()
  }
}

const PARTIES: readonly (Party | Pod)[] = [A, B, OUTSIDE]

/** Without IPv6 of its own, so that nothing but the test speaks there. */
function quietNamespace(): Namespace {
  const namespace = createNamespace()
  writeSysctls(namespace, { 'net/ipv6/conf/all/disable_ipv6': 1, 'net/ipv6/conf/default/disable_ipv6': 1 })
  return namespace
}

function openEnd(namespace: Namespace): PacketSocket {
  using netlink = NetlinkSocket.open({ namespace })
  netlink.run(setLink({ name: 'eth0' }, { up: true }))
  const link = netlink.get(linkOf({ name: 'eth0' })) ?? assert.fail('no eth0')
  return new PacketSocket(namespace, link.index)
}

function routesTo(party: Party | Pod): Request[] {
  const index = isPod(party) ? party.ifindex : UPLINK
  return [
    setLink({ index }, { up: true }),
    ...([4, 6] as const).flatMap(family => {
      const address = formatIp(party[family])
      return [
        addRoute({ destination: `${address}/${family === 4 ? 32 : 128}`, index }),
        replaceNeighbour({ index, address, mac: formatMac(party.mac) }),
      ]
    }),
  ]
}

/** Discovery of the node's devices, to IPv6 groups. */
const isNodesOwn = (frame: Buffer): boolean => frame.readUInt16BE(0) === 0x3333

const udpWith = (ends: Ends, text: string): Uint8Array =>
  buildUdp(ends, { sourcePort: 9, destinationPort: 9 }, new TextEncoder().encode(text))
