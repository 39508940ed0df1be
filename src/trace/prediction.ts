// What a prediction says, and how it is put into words for `explain`.

import type {
  Affinity,
  AffinityKey,
  DropReason,
  Endpoint,
  Tuple as EntryTuple,
  EventKind,
  Flow,
  FlowKey,
  FragmentKey,
  FragmentPorts,
  Translation,
} from '../maps/index.ts'
import type { Tuple } from './dissect.ts'
import type { Choice } from './translation.ts'
import type { TableChange } from './translation-table.ts'
import type { Step } from './world.ts'

export type Prediction = {
  /**
   * `audited`: forwarded, and recorded with the reason that would have dropped it; `absorbed`: neither passed on nor an
   * offence, such as a question that needs no answer; `redirected`: to a proxy, in the opener's direction.
   */
  readonly verdict: 'forwarded' | 'redirected' | 'audited' | 'dropped' | 'absorbed'
  /** Why it was dropped, or would have been; else NONE. */
  readonly reason: DropReason
  /** Whose policy dropped it, or would have; else the hook's direction. */
  readonly direction: 'INGRESS' | 'EGRESS'
  /** `answer`: back to the pod that asked; `outside`: by the node's routes, but not through its stack. */
  readonly to: 'endpoint' | 'stack' | 'answer' | 'outside' | 'proxy' | 'nowhere'
  /** That it goes to, where `to` is `endpoint`. */
  readonly receiver: Endpoint | undefined
  /** As it leaves. */
  readonly frame: Uint8Array
  /** The event that it makes, if any. */
  readonly report: EventKind | undefined
  readonly isReply: boolean
  /** Of the connection: [opener's, responder's]. 0: not known, or not a pod of this node. */
  readonly identity: readonly [number, number]
  readonly endpoint: readonly [number, number]
  readonly egress_rule: number
  readonly ingress_rule: number
  /** The connection's entry after this packet, where the packet changes it. */
  readonly flow: { readonly key: FlowKey; readonly flow: Flow } | undefined
  /** Connections that are forgotten: what one was to is a service now, or a proxy has it from now on, or none would. */
  readonly forgotten: readonly FlowKey[]
  /** Number of the `ProxyKind` that has the connection, and of the `FlowLeg` that the packet is of. */
  readonly proxy: number
  readonly leg: number
  /** Rule sets of what is said on it: of the opener's egress, and of the responder's ingress. */
  readonly l7: readonly [number, number]
  /** The service that the connection was opened to; 0: none. */
  readonly service: number
  /** Addresses and ports as policy and the event have them: the client's and the backend's. */
  readonly seen: Tuple | undefined
  readonly translations: TableChange
  readonly affinity: readonly [AffinityKey, Affinity] | undefined
  /** Where chance decides: what it may choose. */
  readonly choice: Choice | undefined
  /** What a dropped packet is answered with. */
  readonly refusal: Uint8Array | undefined
  /** What is remembered of a first fragment. */
  readonly fragment: { readonly key: FragmentKey; readonly value: FragmentPorts } | undefined
  readonly steps: readonly Step[]
}

/** A map that a prediction can be applied to. */
type Writable<Key, Value> = { set(key: Key, value: Value): void }
type Table<Key, Value> = Writable<Key, Value> & { delete(key: Key): unknown }

/** Does to the maps what the packet would have done. */
export function applyPrediction(
  prediction: Prediction,
  maps: {
    readonly flows: Table<FlowKey, Flow>
    readonly fragments: Writable<FragmentKey, FragmentPorts>
    readonly translations: Table<EntryTuple, Translation>
    readonly affinities: Writable<AffinityKey, Affinity>
  },
): void {
  for (const key of prediction.translations.removed) maps.translations.delete(key)
  for (const [key, value] of prediction.translations.written) maps.translations.set(key, value)
  if (prediction.affinity) maps.affinities.set(...prediction.affinity)
  for (const key of prediction.forgotten) maps.flows.delete(key)
  if (prediction.fragment) maps.fragments.set(prediction.fragment.key, prediction.fragment.value)
  if (prediction.flow) maps.flows.set(prediction.flow.key, prediction.flow.flow)
}

/** One line a step. */
export function describePrediction(prediction: Prediction): string[] {
  return [...prediction.steps.map(({ at, found }) => `${at}: ${found}`), outcomeText(prediction)]
}

function outcomeText({ verdict, reason, to }: Prediction): string {
  switch (verdict) {
    case 'dropped':
      return `dropped: ${reason}`
    case 'absorbed':
      return 'absorbed'
    case 'audited':
      return `forwarded to ${to}, and recorded: it would be dropped for ${reason}`
    case 'redirected':
      return 'handed to a proxy'
    case 'forwarded':
      return `forwarded to ${to}`
  }
}
