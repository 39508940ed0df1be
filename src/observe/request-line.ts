// What a proxy judged, in words: `http-request FORWARDED (HTTP/1.1 GET /products → 200, 1.2 ms)`.

import type { Flow, FlowDns, FlowHttp, FlowKafka, FlowL7, FlowNearestRule } from './flow.ts'

/** The kind of request with its verdict, what was asked and answered, and what else is to be known of it. */
export function requestText(flow: Flow, l7: FlowL7): string {
  const asked = [askedText(l7), latencyText(l7.latencyNs)].filter(text => text !== '').join(', ')
  return [
    `${kindOf(l7)} ${flow.verdict}${asked === '' ? '' : ` (${asked})`}`,
    ...(l7.reason ? [l7.reason] : []),
    ...(flow.dropReason && flow.direction ? [`no rule of its ${flow.direction} allows it`] : []),
    ...(l7.nearestRule ? [nearestText(l7.nearestRule)] : []),
    ...(l7.mismatchedHeaders?.length ? [`headers not as wanted: ${l7.mismatchedHeaders.join(', ')}`] : []),
  ].join('  ')
}

function nearestText({ text, field, because }: FlowNearestRule): string {
  const misses = because.map(({ part, wants, has }) => `${part}: wants ${printable(wants)}; it is ${printable(has)}`)
  return `the nearest: ${text} ${field} (${misses.join(', ')})`
}

function kindOf({ http, dns, kafka }: FlowL7): string {
  if (http) return 'http-request'
  if (dns) return 'dns-request'
  return kafka ? 'kafka-request' : 'tls-connection'
}

function askedText({ http, dns, kafka, tls }: FlowL7): string {
  if (http) return httpText(http)
  if (dns) return dnsText(dns)
  if (kafka) return kafkaText(kafka)
  return tls?.serverName ? `to ${printable(tls.serverName)}` : 'no server name'
}

function httpText({ code, method, url, protocol, grpcStatus }: FlowHttp): string {
  const answer = [
    ...(code === undefined ? [] : [`${code}`]),
    ...(grpcStatus === undefined ? [] : [`grpc ${grpcStatus}`]),
  ]
  return `${protocol} ${printable(method)} ${printable(url)}${answer.length > 0 ? ` → ${answer.join(' ')}` : ''}`
}

/** RFC 1035 §4.1.1 and RFC 2136 §2.2. */
const RCODES = ['', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED']

function dnsText({ query, qtypes, rcode, ips = [], cnames = [], ttl }: FlowDns): string {
  const question = `${qtypes.join(' ')} ${printable(query)}`
  if (rcode === undefined) return question
  if (rcode !== 0) return `${question} → ${RCODES[rcode] ?? `rcode ${rcode}`}`
  const answer = [...cnames.map(printable), ...ips].join(', ') || 'no address'
  return `${question} → ${answer}${ttl === undefined ? '' : `, TTL ${ttl} s`}`
}

function kafkaText({ apiKey, apiVersion, topic, clientId, errorCode }: FlowKafka): string {
  return [
    `${apiKey} v${apiVersion}`,
    ...(topic === undefined ? [] : [`topic ${printable(topic)}`]),
    ...(clientId ? [`client ${printable(clientId)}`] : []),
    ...(errorCode === undefined ? [] : [`→ ${errorCode === 0 ? 'no error' : `error ${errorCode}`}`]),
  ].join(' ')
}

function latencyText(latencyNs: number | undefined): string {
  if (latencyNs === undefined) return ''
  const ms = latencyNs / 1e6
  return ms < 0.1 ? `${Math.round(latencyNs / 1000)} µs` : `${ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`
}

/** Others chose it, and it goes to a terminal: no byte of it may move the cursor or look like another line. */
const printable = (text: string): string =>
  text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, character => `\\u{${character.codePointAt(0)?.toString(16)}}`)
