// What a prediction says, and how it is put into words for `explain`.

import type { DropReason, Endpoint, EventKind, Flow, FlowKey, FragmentKey, FragmentPorts } from '../maps/index.ts'
import type { Step } from './world.ts'

export type Prediction = {
  /**
   * `audited`: forwarded, and recorded with the reason that would have dropped it; `absorbed`: neither passed on nor an
   * offence, such as a question that needs no answer.
   */
  readonly verdict: 'forwarded' | 'audited' | 'dropped' | 'absorbed'
  /** Why it was dropped, or would have been; else NONE. */
  readonly reason: DropReason
  /** Whose policy dropped it, or would have; else the hook's direction. */
  readonly direction: 'INGRESS' | 'EGRESS'
  /** `answer`: back to the pod that asked. */
  readonly to: 'endpoint' | 'stack' | 'answer' | 'nowhere'
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
  /** What is remembered of a first fragment. */
  readonly fragment: { readonly key: FragmentKey; readonly value: FragmentPorts } | undefined
  readonly steps: readonly Step[]
}

/** A map that a prediction can be applied to. */
type Writable<Key, Value> = { set(key: Key, value: Value): void }

/** Does to the maps what the packet would have done. */
export function applyPrediction(
  prediction: Prediction,
  maps: { readonly flows: Writable<FlowKey, Flow>; readonly fragments: Writable<FragmentKey, FragmentPorts> },
): void {
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
    case 'forwarded':
      return `forwarded to ${to}`
  }
}
