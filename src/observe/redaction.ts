// What of a request nobody is to read: queries and user names in URLs, values of
// headers, kinds of Kafka requests. Taken out where an event becomes a flow, so that no
// reader sees it. Pure.

import type { FlowHttp, FlowL7 } from './flow.ts'

/** Stands where something was taken out; the same word as in Hubble. */
export const REDACTED = 'HUBBLE_REDACTED'

/** Names of headers are in lower case. */
export type HeaderRedaction =
  | { readonly kind: 'all-but'; readonly names: ReadonlySet<string> }
  | { readonly kind: 'these'; readonly names: ReadonlySet<string> }

export type Redaction = {
  /** `?` and what follows. */
  readonly urlQuery: boolean
  /** `user:password@` in the host. */
  readonly userInfo: boolean
  readonly headers: HeaderRedaction
  readonly kafkaApiKey: boolean
}

/** Headers that carry secrets. */
const SECRET_HEADERS = ['authorization', 'cookie', 'proxy-authorization', 'x-api-key', 'x-auth-token']

/** Where nothing else is asked for. */
export const DEFAULT_REDACTION: Redaction = {
  urlQuery: false,
  userInfo: true,
  headers: { kind: 'these', names: new Set(SECRET_HEADERS) },
  kafkaApiKey: false,
}

/** A setting that cannot be; the message says what is right. */
export class RedactionError extends Error {
  override readonly name = 'RedactionError'
  readonly code = 'BAD_REDACTION'
}

const SETTINGS = 'http.url.query, http.url.user-info, http.headers=allow:NAMES, http.headers=deny:NAMES, kafka.api-key'
const HEADER_NAME = /^[!#$%&'*+.^_`|~\da-z-]+$/

/** Reads settings such as `http.url.query` and `http.headers=deny:authorization,cookie`. @throws RedactionError */
export function readRedaction(settings: readonly string[]): Redaction {
  let redaction = DEFAULT_REDACTION
  let headersSetting: string | undefined
  for (const setting of settings)
    if (setting === 'http.url.query') redaction = { ...redaction, urlQuery: true }
    else if (setting === 'http.url.user-info') redaction = { ...redaction, userInfo: true }
    else if (setting === 'kafka.api-key') redaction = { ...redaction, kafkaApiKey: true }
    else if (setting.startsWith('http.headers=')) {
      if (headersSetting !== undefined && headersSetting !== setting)
        throw new RedactionError(`${headersSetting} and ${setting}: headers are redacted in one way`)
      headersSetting = setting
      redaction = { ...redaction, headers: readHeaders(setting) }
    } else throw new RedactionError(`${setting} is not one of ${SETTINGS}`)
  return redaction
}

function readHeaders(setting: string): HeaderRedaction {
  const [, kind, list = ''] = /^http\.headers=(allow|deny):(.*)$/.exec(setting) ?? []
  if (kind === undefined) throw new RedactionError(`${setting} is neither http.headers=allow:NAMES nor =deny:NAMES`)
  const names = list === '' ? [] : list.split(',').map(name => name.trim().toLowerCase())
  const bad = names.find(name => !HEADER_NAME.test(name))
  if (bad !== undefined) throw new RedactionError(`${setting}: "${bad}" cannot be the name of a header`)
  return { kind: kind === 'allow' ? 'all-but' : 'these', names: new Set(names) }
}

/** What was said, without what nobody is to read. */
export function redacted(l7: FlowL7, redaction: Redaction): FlowL7 {
  if (l7.kafka) return redaction.kafkaApiKey ? { ...l7, kafka: { ...l7.kafka, apiKey: REDACTED } } : l7
  if (!l7.http) return l7
  const { url, headers } = l7.http
  const shown = headers?.map(header => redactedHeader(header, redaction.headers))
  return { ...l7, http: { ...l7.http, url: redactedUrl(url, redaction), ...(shown && { headers: shown }) } }
}

function redactedUrl(url: string, { urlQuery, userInfo }: Redaction): string {
  const whole = urlQuery ? url.replace(/[?#].*$/s, '') : url
  return userInfo ? whole.replace(/^([a-z]+:\/\/)[^/?#]*@/, `$1${REDACTED}@`) : whole
}

type Header = NonNullable<FlowHttp['headers']>[number]

function redactedHeader(header: Header, { kind, names }: HeaderRedaction): Header {
  const isNamed = names.has(header.key.toLowerCase())
  return isNamed === (kind === 'these') ? { ...header, value: REDACTED } : header
}
