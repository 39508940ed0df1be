// What an agent sees: packets by the kernel's records, requests by what the proxy tells,
// and both in words.

import { RingBuffer } from '../bpf/index.ts'
import type { Datapath, FlowEvent } from '../maps/index.ts'
import {
  bootClock,
  describeFlow,
  describeRequest,
  type Flow,
  FlowObserver,
  RequestObserver,
  type ServiceNames,
  withNearestRule,
} from '../observe/index.ts'
import type { L7Event, Tables } from '../tables/index.ts'
import type { AgentConfiguration } from './configuration.ts'

export type Sight = {
  readonly packets: FlowObserver
  readonly describePacket: (event: FlowEvent) => Flow
  readonly requests: RequestObserver
  readonly describeRequest: (event: L7Event) => Flow
  /** A flow with what is worked out only for those that somebody wants to read. */
  readonly complete: (flow: Flow) => Flow
}

export type SightOptions = {
  readonly configuration: Pick<AgentConfiguration, 'node' | 'policyEnforcement' | 'redaction'>
  readonly datapath: Datapath
  readonly tables: Tables
  readonly serviceNames: ServiceNames
}

export function createSight({ configuration, datapath, tables, serviceNames }: SightOptions): Sight {
  const { schema } = datapath
  const { node, policyEnforcement: enforcement, redaction } = configuration
  const bootMicros = bootClock()
  const denied = new WeakMap<Flow, L7Event>()
  return {
    packets: new FlowObserver(RingBuffer.open(datapath.maps.events), schema.flowEvent),
    describePacket: event => describeFlow(event, { node, tables, schema, enforcement, bootMicros, serviceNames }),
    requests: new RequestObserver(),
    describeRequest: event => {
      const flow = describeRequest(event, { node, tables, redaction, serviceNames })
      if (flow.verdict === 'DROPPED' || flow.verdict === 'AUDIT') denied.set(flow, event)
      return flow
    },
    complete: flow => {
      const event = denied.get(flow)
      return event ? withNearestRule(flow, event, tables) : flow
    },
  }
}
