// Why rules for what is said allow a request or not: the first rule that allows it, else
// the rules that come nearest and all that each of them misses. The matchers are those
// that proxies judge by; here it is only put in words. Pure.

import { canonicalName } from '../dns/name.ts'
import { matchDns } from '../dns/patterns.ts'
import { type HttpMismatch, isAmbiguousPath, matchHttp } from '../http/index.ts'
import { KAFKA_APIS } from '../kafka/catalogue.ts'
import { matchKafka } from '../kafka/match.ts'
import type { DnsRule, HeaderMatch, HttpRule, KafkaRule, L7Rules, L7Source, ServerNameRule } from '../policy/index.ts'
import type { FlowDns, FlowHttp, FlowKafka } from './flow.ts'

/** What somebody asks, or asked. */
export type AskedRequest =
  | {
      readonly parser: 'http'
      readonly method: string
      /** Path and query. */
      readonly path: string
      /** Empty without. */
      readonly host: string
      /** Names in lower case. Undefined: not known. */
      readonly headers?: readonly (readonly [name: string, value: string])[] | undefined
      /** There may be others. */
      readonly headersArePartial?: true
    }
  | { readonly parser: 'dns'; readonly name: string }
  | {
      readonly parser: 'kafka'
      readonly apiKey: number
      readonly apiVersion?: number | undefined
      readonly clientId?: string | undefined
      readonly topic?: string | undefined
    }
  | { readonly parser: 'tls'; readonly serverName: string }

/** `wants` and `has` in words, such as `GET` and `DELETE`. `part`: `method`, `header x-team`, `name`, … */
export type RequestMiss = { readonly part: string; readonly wants: string; readonly has: string }

/** A rule that does not allow the request, and every reason why. */
export type NearRule = L7Source & { readonly because: readonly RequestMiss[] }

export type RequestAnswer =
  | { readonly allowed: true; readonly by: L7Source }
  | {
      readonly allowed: false
      /** Where it is not for a rule that does not match. */
      readonly because?: string
      /** Nearest first, the first few. */
      readonly nearest: readonly NearRule[]
      /** How many rules there are. */
      readonly ruleCount: number
    }

/** Most rules shown that do not match. */
const SHOWN = 5

export function whyRequest(rules: L7Rules, asked: AskedRequest): RequestAnswer {
  const denied = (nearest: readonly NearRule[], because?: string, ruleCount = rules.rules.length): RequestAnswer => ({
    allowed: false,
    ...(because !== undefined && { because }),
    nearest: nearest.toSorted((a, b) => a.because.length - b.because.length).slice(0, SHOWN),
    ruleCount,
  })
  if (asked.parser === 'http' && rules.parser === 'http') {
    if (isAmbiguousPath(asked.path)) return denied([], 'its path can be read in more than one way')
    const verdict = matchHttp(rules.rules, { ...asked, headers: asked.headers ?? [] })
    if (verdict.allowed) return allowedBy(rules.rules, verdict.rule)
    const near = verdict.nearest.slice(0, SHOWN).flatMap(({ rule: index, mismatches }) => {
      const rule = rules.rules[index]
      return rule
        ? [
            nearRule(
              rule,
              mismatches.map(miss => httpMiss(rule, miss, asked.headers !== undefined && !asked.headersArePartial)),
            ),
          ]
        : []
    })
    return denied(near)
  }
  if (asked.parser === 'dns' && rules.parser === 'dns') {
    const index = matchDns(rules.rules, asked.name)
    return index === undefined ? denied(nearNames(rules.rules, asked.name)) : allowedBy(rules.rules, index)
  }
  if (asked.parser === 'kafka' && rules.parser === 'kafka') {
    const index = kafkaRule(rules.rules, asked)
    return index === undefined ? denied(rules.rules.map(rule => nearKafka(rule, asked))) : allowedBy(rules.rules, index)
  }
  const names = asked.parser === 'tls' && serverNamesOf(rules)
  if (names) {
    const patterns = names.map(({ serverName }) => ({ pattern: serverName }))
    const index = asked.serverName === '' ? undefined : matchDns(patterns, asked.serverName)
    return index === undefined
      ? denied(nearNames(names, asked.serverName), undefined, names.length)
      : allowedBy(names, index)
  }
  if (asked.parser === 'tls' && rules.parser === 'http' && rules.terminating) {
    const [{ rule } = { rule: '' }] = rules.rules
    return { allowed: true, by: { rule, field: 'terminatingTLS' } }
  }
  return denied([], `connections there are judged as ${rules.parser}, which a request of ${asked.parser} is not`)
}

/** Undefined where connections are not judged by names of servers. */
function serverNamesOf(rules: L7Rules): readonly ServerNameRule[] | undefined {
  if (rules.parser === 'tls') return rules.rules
  return rules.parser === 'http' && rules.terminating && rules.serverNames.length > 0 ? rules.serverNames : undefined
}

function allowedBy(rules: readonly L7Source[], index: number): RequestAnswer {
  const { rule = '', field = '' } = rules[index] ?? {}
  return { allowed: true, by: { rule, field } }
}

const nearRule = ({ rule, field }: L7Source, because: readonly RequestMiss[]): NearRule => ({ rule, field, because })

function httpMiss(rule: HttpRule, miss: HttpMismatch, knowsHeaders: boolean): RequestMiss {
  if (miss.field !== 'header') return { part: miss.field, wants: miss.pattern, has: miss.found || 'none' }
  const match = rule.headers.find(({ name }) => name === miss.name)
  return {
    part: `header ${miss.name}`,
    wants: headerWants(match, miss.wanted),
    has: miss.isTakenAway
      ? 'named by Connection, so that the next proxy takes it away'
      : miss.found.join(', ') || (knowsHeaders ? 'not there' : 'not known here'),
  }
}

function headerWants(match: HeaderMatch | undefined, wanted: string | undefined): string {
  if (match?.secret) return `the value of secret ${match.secret.namespace}/${match.secret.name}, which is not read here`
  return wanted ?? 'to be there'
}

/** Names that share most of their last labels stand first. */
function nearNames(rules: readonly (DnsRule | ServerNameRule)[], name: string): NearRule[] {
  const wanted = rules.map(rule => {
    const wants = 'serverName' in rule ? rule.serverName : 'name' in rule ? rule.name : rule.pattern
    return { rule, wants, shared: sharedLabels(wants, name) }
  })
  return wanted
    .sort((a, b) => b.shared - a.shared)
    .slice(0, SHOWN)
    .map(({ rule, wants }) =>
      nearRule(rule, [{ part: 'name', wants: withoutLastDot(wants), has: withoutLastDot(name) || 'none' }]),
    )
}

const withoutLastDot = (name: string): string => name.replace(/(?<=.)\.$/, '')

function sharedLabels(one: string, other: string): number {
  const [a, b] = [one, other].map(text => canonicalName(text).split('.').reverse()) as [string[], string[]]
  const different = a.findIndex((label, i) => label !== b[i])
  return different < 0 ? a.length : different
}

type AskedOfKafka = Extract<AskedRequest, { readonly parser: 'kafka' }>

function kafkaRule(rules: readonly KafkaRule[], asked: AskedOfKafka): number | undefined {
  const { apiKey, topic, clientId } = asked
  // A version that is not said is that of no rule.
  const header = { apiKey, apiVersion: asked.apiVersion ?? -1, clientId }
  const scope = KAFKA_APIS.get(apiKey)?.scope ?? 'cluster'
  const subject = { header, api: { scope }, topics: topic === undefined ? [] : [topic] }
  return matchKafka(rules, subject).topics[0]?.rule
}

function nearKafka(rule: KafkaRule, { apiKey, apiVersion, clientId, topic }: AskedOfKafka): NearRule {
  const because: RequestMiss[] = []
  const miss = (part: string, wants: string, has: string): void => void because.push({ part, wants, has })
  if (rule.apiKeys && !rule.apiKeys.includes(apiKey))
    miss('request', rule.apiKeys.map(kafkaRequestName).join(', '), kafkaRequestName(apiKey))
  if (rule.apiVersion !== undefined && rule.apiVersion !== apiVersion)
    miss('version', `${rule.apiVersion}`, apiVersion === undefined ? 'not said' : `${apiVersion}`)
  if (rule.clientId !== undefined && rule.clientId !== clientId) miss('client', rule.clientId, clientId ?? 'not said')
  if (rule.topic !== undefined && rule.topic !== topic) miss('topic', rule.topic, topic ?? 'none')
  return nearRule(rule, because)
}

/** `produce`, or `request 99` for one that is not known. */
export const kafkaRequestName = (apiKey: number): string => KAFKA_APIS.get(apiKey)?.name ?? `request ${apiKey}`

/** The number of a name in any case; undefined for one that is not known. */
export function kafkaRequestNumber(name: string): number | undefined {
  const wanted = name.toLowerCase()
  return KAFKA_APIS.values().find(api => api.name === wanted)?.key
}

/** What of a flow says what was asked. */
export type SaidInFlow = {
  readonly http?: Pick<FlowHttp, 'method' | 'url' | 'headers'> | undefined
  readonly dns?: Pick<FlowDns, 'query'> | undefined
  readonly kafka?: Pick<FlowKafka, 'apiKey' | 'apiVersion' | 'clientId' | 'topic'> | undefined
  readonly tls?: { readonly serverName: string } | undefined
}

/** What was asked in a flow; undefined where that cannot be told any more. */
export function askedIn({ http, dns, kafka, tls }: SaidInFlow): AskedRequest | undefined {
  if (dns) return { parser: 'dns', name: dns.query }
  if (tls) return { parser: 'tls', serverName: tls.serverName }
  if (http) {
    const [, host = '', path = ''] = /^(?:[a-z]+:\/\/([^/?]*))?(.*)$/s.exec(http.url) ?? []
    const headers = http.headers?.map(({ key, value }) => [key.toLowerCase(), value] as const)
    return { parser: 'http', method: http.method, path, host, ...(headers && { headers, headersArePartial: true }) }
  }
  const apiKey = kafkaRequestNumber(kafka?.apiKey ?? '')
  if (!kafka || apiKey === undefined) return undefined
  const { apiVersion, clientId, topic } = kafka
  return { parser: 'kafka', apiKey, apiVersion, clientId, topic }
}
