// Whether the program in the kernel did with a packet what the predictor said: the
// action, the frame that left, the event, and the connection's entry afterwards.

import assert from 'node:assert/strict'
import { formatIp } from '../../src/ip/index.ts'
import type { Datapath, Flow, FlowKey, Schema } from '../../src/maps/index.ts'
import { describePrediction, type Prediction } from '../../src/trace/index.ts'
import type { Observed, Sent } from './node.ts'

type Summary = Readonly<Record<string, unknown>>

/** Expiry and last report are compared this coarsely: kernel and predictor read the clock at different moments. */
const CLOCK_TOLERANCE_NS = 5_000_000_000n

/** @throws AssertionError with the predictor's steps and the frame */
export function assertAgreement(node: { readonly datapath: Datapath }, sent: Sent, observed: Observed): void {
  const wanted = {
    ...summaryOfPrediction(observed.prediction, sent),
    flow: flowSummary(observed.prediction.flow?.flow),
  }
  const key = observed.prediction.flow?.key
  const found = {
    ...summaryOfKernel(observed, node.datapath.schema),
    flow: flowSummary(key && node.datapath.maps.flows.get(key)),
  }
  // As text first: a deep comparison is slow, and this runs for every packet.
  if (JSON.stringify(wanted) !== JSON.stringify(found)) assert.deepEqual(found, wanted, explain(sent, observed))
  const expected = observed.prediction.flow?.flow
  const actual = key && node.datapath.maps.flows.get(key)
  if (expected && actual) {
    assertNear(actual.expires_ns, expected.expires_ns, `expires_ns: ${explain(sent, observed)}`)
    assertNear(actual.reported_ns, expected.reported_ns, `reported_ns: ${explain(sent, observed)}`)
  }
}

function summaryOfPrediction(prediction: Prediction, { hook }: Sent): Summary {
  const { verdict, to, report, isReply, identity, endpoint } = prediction
  const forwarded = verdict === 'forwarded' || verdict === 'audited'
  const redirected = to === 'answer' || (to === 'endpoint' && hook === 'from_pod')
  return {
    action: forwarded ? (redirected ? 'redirect' : 'pass') : 'drop',
    frame: forwarded ? hex(prediction.frame) : '',
    report,
    ...(report && {
      verdict: verdict === 'audited' ? 'AUDIT' : verdict === 'dropped' ? 'DROPPED' : 'FORWARDED',
      reason: prediction.reason,
      direction: prediction.direction,
      observation: !forwarded ? 'NOWHERE' : to === 'stack' ? 'TO_STACK' : 'TO_ENDPOINT',
      isReply,
      identity: isReply ? identity.toReversed() : identity,
      endpoint: isReply ? endpoint.toReversed() : endpoint,
      rules: [prediction.egress_rule, prediction.ingress_rule],
    }),
  }
}

function summaryOfKernel({ action, frame, event }: Observed, schema: Schema): Summary {
  return {
    action,
    frame: action === 'drop' ? '' : hex(frame),
    report: event && schema.eventKind.text(event.kind),
    ...(event && {
      verdict: schema.verdict.text(event.verdict),
      reason: schema.dropReason.text(event.drop_reason),
      direction: schema.trafficDirection.text(event.direction),
      observation: schema.observationPoint.text(event.observation),
      isReply: event.is_reply === 1,
      identity: event.identity,
      endpoint: event.endpoint,
      rules: [event.egress_rule, event.ingress_rule],
    }),
  }
}

function flowSummary(flow: Flow | undefined): Summary | undefined {
  if (!flow) return undefined
  const { expires_ns: _expires, reported_ns: _reported, packets, bytes, tcp_flags, ...rest } = flow
  return { ...rest, packets: packets.map(String), bytes: bytes.map(String), tcp_flags: [...tcp_flags] }
}

function assertNear(actual: bigint, expected: bigint, message: string): void {
  const distance = actual > expected ? actual - expected : expected - actual
  assert.ok(distance < CLOCK_TOLERANCE_NS, `${message}\nfound ${actual}, want about ${expected}`)
}

function explain(sent: Sent, { prediction }: Observed): string {
  const lines = [
    `${sent.hook} at ${sent.ifindex} from ${sent.ingressIfindex}: ${hex(sent.frame)}`,
    'the predictor says:',
    ...describePrediction(prediction).map(line => `  ${line}`),
  ]
  if (prediction.flow) lines.push(`  connection ${flowKeyText(prediction.flow.key)}`)
  return lines.join('\n')
}

const flowKeyText = ({ low, high, low_port, high_port, protocol }: FlowKey): string =>
  `${formatIp(low.bytes)}:${low_port} ${formatIp(high.bytes)}:${high_port} protocol ${protocol}`

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
