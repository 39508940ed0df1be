// Whether the program in the kernel did with a packet what the predictor said: the
// action, the frame that left, the event, and the connection's entry afterwards.

import assert from 'node:assert/strict'
import { formatIp } from '../../src/ip/index.ts'
import type { Datapath, Flow, FlowEvent, FlowKey, Schema, Tuple } from '../../src/maps/index.ts'
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
  assertTranslations(node.datapath.maps, sent, observed)
}

const VERDICTS = {
  forwarded: 'FORWARDED',
  absorbed: 'FORWARDED',
  redirected: 'REDIRECTED',
  audited: 'AUDIT',
  dropped: 'DROPPED',
} as const

function summaryOfPrediction(prediction: Prediction, { hook }: Sent): Summary {
  const { verdict, to, report, isReply, identity, endpoint, refusal, seen } = prediction
  const forwarded = verdict === 'forwarded' || verdict === 'redirected' || verdict === 'audited'
  const redirected =
    (to === 'proxy' && hook === 'to_pod') ||
    to === 'answer' ||
    to === 'outside' ||
    (to === 'endpoint' && hook === 'from_pod')
  return {
    action: forwarded ? (redirected ? 'redirect' : 'pass') : refusal ? 'redirect' : 'drop',
    frame: forwarded ? hex(prediction.frame) : refusal ? hex(refusal) : '',
    report,
    ...(report && {
      verdict: VERDICTS[verdict],
      reason: prediction.reason,
      direction: prediction.direction,
      observation: !forwarded ? 'NOWHERE' : to === 'proxy' ? 'TO_PROXY' : to === 'stack' ? 'TO_STACK' : 'TO_ENDPOINT',
      proxy: prediction.proxy,
      isReply,
      identity: isReply ? identity.toReversed() : identity,
      endpoint: isReply ? endpoint.toReversed() : endpoint,
      rules: [prediction.egress_rule, prediction.ingress_rule],
      service: prediction.service,
      ends: seen && [formatIp(seen.source), seen.sourcePort, formatIp(seen.destination), seen.destinationPort],
    }),
  }
}

function summaryOfKernel({ action, frame, event, prediction }: Observed, schema: Schema): Summary {
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
      proxy: event.proxy,
      service: event.service,
      ends: prediction.seen && endsOf(event),
    }),
  }
}

const endsOf = (event: FlowEvent): unknown[] => [
  formatIp(event.source.bytes),
  event.source_port,
  formatIp(event.destination.bytes),
  event.destination_port,
]

/** Entries that the packet has written or removed. */
function assertTranslations(maps: Datapath['maps'], sent: Sent, observed: Observed): void {
  const { prediction } = observed
  const { translations, forgotten } = prediction
  const message = (): string => explain(sent, observed)
  for (const key of translations.removed)
    if (!translations.written.some(([other]) => tupleText(other) === tupleText(key)))
      assert.equal(maps.translations.get(key), undefined, `${tupleText(key)} is forgotten: ${message()}`)
  for (const [key, want] of translations.written) {
    const found = maps.translations.get(key) ?? assert.fail(`no translation of ${tupleText(key)}: ${message()}`)
    const summaries = [found, want].map(({ expires_ns: _expires, target, tcp_flags, ...rest }) => ({
      ...rest,
      target: tupleText(target),
      tcp_flags: [...tcp_flags],
    }))
    if (JSON.stringify(summaries[0]) !== JSON.stringify(summaries[1]))
      assert.deepEqual(summaries[0], summaries[1], `translation of ${tupleText(key)}: ${message()}`)
    assertNear(found.expires_ns, want.expires_ns, `expires_ns of ${tupleText(key)}: ${message()}`)
  }
  for (const key of forgotten)
    if (!prediction.flow || flowKeyText(key) !== flowKeyText(prediction.flow.key))
      assert.equal(maps.flows.get(key), undefined, `the connection is forgotten: ${message()}`)
}

const tupleText = ({ source, destination, source_port, destination_port, protocol }: Tuple): string =>
  `${formatIp(source.bytes)}:${source_port} ${formatIp(destination.bytes)}:${destination_port} ${protocol}`

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

const flowKeyText = ({ low, high, low_port, high_port, protocol, leg }: FlowKey): string =>
  `${formatIp(low.bytes)}:${low_port} ${formatIp(high.bytes)}:${high_port} protocol ${protocol} leg ${leg}`

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
