// What the datapath knows of a connection that it has led to a proxy: the kernel has
// judged who may speak with whom, and its flow says by which rule sets what is said is
// to be judged, now. A server here asks for each question or request.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type BpfMap, PinDirectory } from '../bpf/index.ts'
import {
  type Flow,
  type FlowKey,
  orderedFlowKey,
  type ProxyKind,
  readDatapathObject,
  type Schema,
} from '../maps/index.ts'
import type { SocketEnd } from '../net/index.ts'

const PROTOCOL = { TCP: 6, UDP: 17 } as const

export type Connection = {
  readonly transport: 'TCP' | 'UDP'
  readonly client: SocketEnd
  readonly server: SocketEnd
}

/** Of the client as opener and the server as responder. */
export type KnownFlow = {
  readonly identities: readonly [client: number, server: number]
  /** Rule sets of the client's egress and of the server's ingress; 0: none, all is allowed. */
  readonly sets: readonly [egress: number, ingress: number]
  /** Numbers of the policy rules that allowed the connection. */
  readonly rules: readonly [egress: number, ingress: number]
  /** Number of the service that the connection was opened to; 0: none. */
  readonly service: number
}

export class KnownFlows {
  readonly #flows: Pick<BpfMap<FlowKey, Flow>, 'get'>
  readonly #proxy: number
  readonly #initiatorIsHigh: number
  /** The leg between the one who opened the connection and the proxy. */
  readonly #leg: number
  readonly #clock: () => bigint

  /** @param clock CLOCK_MONOTONIC in nanoseconds */
  constructor(
    flows: Pick<BpfMap<FlowKey, Flow>, 'get'>,
    schema: Pick<Schema, 'proxyKind' | 'flowFlags' | 'flowLeg'>,
    kind: Exclude<ProxyKind, 'NONE'>,
    clock: () => bigint = () => process.hrtime.bigint(),
  ) {
    this.#flows = flows
    this.#proxy = schema.proxyKind.number[kind]
    this.#initiatorIsHigh = schema.flowFlags.number.INITIATOR_IS_HIGH
    this.#leg = schema.flowLeg.number.TO_PROXY
    this.#clock = clock
  }

  /**
   * Of the datapath that is pinned in a folder.
   * @throws Error where no flows of this version of the datapath are pinned there
   */
  static open(folder: string, kind: Exclude<ProxyKind, 'NONE'>): KnownFlows {
    const object = readFileSync(fileURLToPath(new URL('../../build/pod.o', import.meta.url)))
    const { spec, schema } = readDatapathObject(object)
    const pins = PinDirectory.open(folder, schema.version, { otherVersions: 'keep' })
    const flows = pins.openMap<FlowKey, Flow>('flows', spec.maps.get('flows'))
    if (!flows) throw new Error(`no flows are pinned in ${pins.path}: start the agent first`)
    return new KnownFlows(flows, schema, kind)
  }

  /** @returns undefined when the kernel knows no such connection, or not as one of this kind of proxy: then nothing is allowed */
  find({ transport, client, server }: Connection): KnownFlow | undefined {
    const { key, sourceIsHigh } = orderedFlowKey({
      source: { bytes: client.address },
      destination: { bytes: server.address },
      source_port: client.port,
      destination_port: server.port,
      protocol: PROTOCOL[transport],
    })
    const flow = this.#flows.get({ ...key, leg: this.#leg })
    if (!flow || flow.proxy !== this.#proxy || flow.expires_ns <= this.#clock()) return undefined
    if (sourceIsHigh !== ((flow.flags & this.#initiatorIsHigh) !== 0)) return undefined
    const { identity: identities, l7: sets, service } = flow
    return { identities, sets, rules: [flow.egress_rule, flow.ingress_rule], service }
  }
}
