// What an item of `toPorts` says of a connection's content, to the model's rules for it.
// Names are made canonical here, and what Cilium says in words becomes what is compared.

import type { Path } from '../../../manifests/index.ts'
import type {
  DnsRule,
  HeaderMatch,
  HttpRule,
  KafkaRule,
  L7Lines,
  L7Rules,
  L7Source,
  SecretReference,
  ServerNameRule,
  TlsContext,
} from '../../model/l7.ts'
import type { RuleKey } from '../../model/rule.ts'
import { KAFKA_ROLE_KEYS, kafkaApiKey } from './kafka-keys.ts'
import type { HttpContent, KafkaContent, L7RulesContent, TlsContent } from './l7-schema.ts'
import type { PortRuleContent } from './port-schema.ts'

/** Namespace of the secrets of policies that have none. */
const DEFAULT_NAMESPACE = 'default'

/**
 * Undefined for an item that leaves content alone. An empty list of rules has none, so it does, as in Cilium.
 * @param rule the key of the rule that the item becomes; `namespace` of its policy, empty for one without
 */
export function readL7Rules(item: PortRuleContent, rule: RuleKey, namespace: string): L7Rules | undefined {
  const { rules = {}, terminatingTLS, originatingTLS } = item
  const at = (field: string): L7Source => ({ rule, field })
  const serverNames = (item.serverNames ?? []).map((text, i): ServerNameRule => {
    return { ...at(`serverNames[${i}]`), serverName: withoutLastDot(text) }
  })
  const parsed = readRules(rules, at, namespace)
  const terminating = readTls(terminatingTLS, namespace)
  const originating = readTls(originatingTLS, namespace)
  if (parsed && parsed.parser !== 'http') return parsed
  if (parsed || terminating || originating) {
    // TLS alone is about every request.
    const requests = parsed?.rules ?? [{ ...at(terminating ? 'terminatingTLS' : 'originatingTLS'), headers: [] }]
    return {
      parser: 'http',
      rules: requests,
      serverNames,
      ...(terminating && { terminating }),
      ...(originating && { originating }),
    }
  }
  return serverNames.length > 0 ? { parser: 'tls', rules: serverNames } : undefined
}

/** The lines of an item's rules. `lineOf` takes places in the item. */
export function l7Lines(item: PortRuleContent, lineOf: (place: Path) => number): L7Lines {
  const { rules = {}, serverNames = [] } = item
  const lines: Record<string, number> = {}
  for (const field of ['terminatingTLS', 'originatingTLS'] as const) if (item[field]) lines[field] = lineOf([field])
  for (const [name, list] of Object.entries(rules))
    if (Array.isArray(list)) for (const i of list.keys()) lines[`rules.${name}[${i}]`] = lineOf(['rules', name, i])
  for (const i of serverNames.keys()) lines[`serverNames[${i}]`] = lineOf(['serverNames', i])
  return lines
}

type Place = (field: string) => L7Source

function readRules({ http, kafka, dns }: L7RulesContent, at: Place, namespace: string): L7Rules | undefined {
  if (http && http.length > 0)
    return {
      parser: 'http',
      rules: http.map((rule, i) => readHttp(rule, at(`rules.http[${i}]`), namespace)),
      serverNames: [],
    }
  if (kafka && kafka.length > 0)
    return { parser: 'kafka', rules: kafka.map((rule, i) => readKafka(rule, at(`rules.kafka[${i}]`))) }
  if (dns && dns.length > 0)
    return { parser: 'dns', rules: dns.map((rule, i): DnsRule => readDns(rule, at(`rules.dns[${i}]`))) }
  return undefined
}

/** An empty text is as good as none. */
function readHttp(content: HttpContent, source: L7Source, namespace: string): HttpRule {
  const { method, path, host, headers = [], headerMatches = [] } = content
  return {
    ...source,
    ...(method && { method }),
    ...(path && { path }),
    ...(host && { host }),
    headers: [...headers.map(readHeader), ...headerMatches.map(match => readHeaderMatch(match, namespace))],
  }
}

function readHeader(text: string): HeaderMatch {
  const [name = '', value] = text.split(/: (.*)/s)
  return { name: name.toLowerCase(), ...(value !== undefined && { value: value.trim() }), mismatch: 'deny' }
}

const MISMATCHES = { LOG: 'log', ADD: 'add', DELETE: 'delete', REPLACE: 'replace' } as const

function readHeaderMatch(
  { name, value, secret, mismatch }: NonNullable<HttpContent['headerMatches']>[number],
  namespace: string,
): HeaderMatch {
  return {
    name: name.toLowerCase(),
    ...(value && { value: value.trim() }),
    ...(secret && { secret: readSecret(secret, namespace) }),
    mismatch: mismatch ? MISMATCHES[mismatch] : 'deny',
  }
}

const readSecret = ({ name, namespace }: TlsContent['secret'], own: string): SecretReference => ({
  namespace: namespace || own || DEFAULT_NAMESPACE,
  name,
})

function readKafka({ role, apiKey, apiVersion, clientID, topic }: KafkaContent, source: L7Source): KafkaRule {
  const apiKeys = role ? KAFKA_ROLE_KEYS[role.toLowerCase() === 'produce' ? 'produce' : 'consume'] : undefined
  return {
    ...source,
    ...(apiKeys && { apiKeys }),
    ...(apiKey && { apiKeys: [kafkaApiKey(apiKey)] }),
    ...(apiVersion && { apiVersion: Number(apiVersion) }),
    ...(clientID && { clientId: clientID }),
    ...(topic && { topic }),
  }
}

function readDns(
  { matchName, matchPattern = '' }: NonNullable<L7RulesContent['dns']>[number],
  source: L7Source,
): DnsRule {
  if (matchName !== undefined) return { ...source, name: withLastDot(matchName) }
  return { ...source, pattern: withLastDot(matchPattern) }
}

/** Keys of the Secret of a TLS context where the rule names none. */
export const TLS_KEYS = { certificate: 'tls.crt', privateKey: 'tls.key', trustedCa: 'ca.crt' } as const

function readTls(content: TlsContent | undefined, namespace: string): TlsContext | undefined {
  if (!content) return undefined
  const { secret, certificate, privateKey, trustedCA } = content
  return {
    secret: readSecret(secret, namespace),
    certificate: certificate || TLS_KEYS.certificate,
    privateKey: privateKey || TLS_KEYS.privateKey,
    trustedCa: trustedCA || TLS_KEYS.trustedCa,
    ...(trustedCA && { needsTrustedCa: true }),
  }
}

const withoutLastDot = (name: string): string => name.toLowerCase().replace(/\.$/, '')
const withLastDot = (name: string): string => `${withoutLastDot(name)}.`
