// Which flows somebody wants to see. Names and meanings are those of Hubble's filters:
// fields all must match, and what is left out does not matter.

import { compileRegexes, parseRegex, RegexMatcher } from '../regex/index.ts'
import { type Flow, serviceOf } from './flow.ts'

/** All of them texts, as they come in a query. */
export const FLOW_FILTERS = [
  'pod',
  'service',
  'verdict',
  'type',
  'protocol',
  'http-method',
  'http-path',
  'http-url',
  'http-status',
  'http-header',
  'dns-query',
] as const
export type FlowFilter = { readonly [Name in (typeof FLOW_FILTERS)[number]]?: string }

/** A filter that cannot be; the message says what is right. */
export class FlowFilterError extends Error {
  override readonly name = 'FlowFilterError'
  readonly code = 'BAD_FILTER'
}

type Test = (flow: Flow) => boolean

/** @throws FlowFilterError */
export function flowTest(filter: FlowFilter): Test {
  const tests = FLOW_FILTERS.flatMap((name): Test[] => {
    const text = filter[name]
    return text === undefined ? [] : [TESTS[name](text)]
  })
  return flow => tests.every(test => test(flow))
}

const TESTS: Readonly<Record<(typeof FLOW_FILTERS)[number], (text: string) => Test>> = {
  /** `namespace/name` of a pod at either end. */
  pod: text => flow =>
    [flow.source, flow.destination].some(({ pod }) => pod !== undefined && `${pod.namespace}/${pod.name}` === text),
  /** `namespace/name` of the service that the connection was opened to. */
  service: text => flow => {
    const opened = serviceOf(flow)
    return opened !== undefined && `${opened.namespace}/${opened.name}` === text
  },
  verdict: text => flow => flow.verdict === text.toUpperCase(),
  /** Why the record was made; `trace`, as in Hubble: of packets that passed. */
  type: text => {
    const wanted = text.toLowerCase()
    if (!TYPES.has(wanted)) throw new FlowFilterError(`type ${text} is not one of ${[...TYPES].join(', ')}`)
    return flow => (wanted === 'trace' ? flow.type === 'L3_L4' && flow.event !== 'drop' : flow.event === wanted)
  },
  /** Of the packet, or of what was said. */
  protocol: text => {
    const wanted = text.toLowerCase()
    return flow => flow.protocol.toLowerCase() === wanted || parserOf(flow) === wanted
  },
  'http-method': text => flow => flow.l7?.http?.method.toUpperCase() === text.toUpperCase(),
  'http-path': text => {
    const matches = regularExpression('http-path', text)
    return ({ l7 }) => l7?.http !== undefined && matches(pathOf(l7.http.url))
  },
  'http-url': text => {
    const matches = regularExpression('http-url', text)
    return ({ l7 }) => l7?.http !== undefined && matches(clipped(l7.http.url))
  },
  'http-status': text => {
    if (!/^[1-5](\d\d|\d?\+)$/.test(text))
      throw new FlowFilterError(
        `http-status ${text} is neither a status, such as 404, nor a beginning, such as 5+ or 40+`,
      )
    const [beginning = ''] = text.split('+')
    return ({ l7 }) => l7?.http?.code !== undefined && String(l7.http.code).startsWith(beginning)
  },
  'http-header': text => {
    const [, name = '', value] = /^([^:]+)(?::(.*))?$/.exec(text) ?? []
    if (name === '') throw new FlowFilterError(`http-header ${text} is not NAME or NAME:VALUE`)
    return ({ l7 }) =>
      l7?.http?.headers?.some(
        header => header.key.toLowerCase() === name.toLowerCase() && (value === undefined || header.value === value),
      ) ?? false
  },
  'dns-query': text => {
    const matches = regularExpression('dns-query', text)
    return ({ l7 }) => l7?.dns !== undefined && matches(clipped(l7.dns.query))
  },
}

const TYPES: ReadonlySet<string> = new Set(['l7', 'drop', 'trace', 'new', 'active', 'closed', 'related'])

function parserOf({ l7 }: Flow): string | undefined {
  return (['http', 'dns', 'kafka', 'tls'] as const).find(parser => l7?.[parser] !== undefined)
}

const MOST_EXPRESSION = 256
const MOST_SUBJECT = 1024

const clipped = (text: string): string => text.slice(0, MOST_SUBJECT)

/** Path and query of an URL as it was asked for. */
const pathOf = (url: string): string => clipped(url.replace(/^[a-z]+:\/\/[^/?]*/, ''))

/** RE2's dialect, in linear time: senders choose what it is tried on. It may match any part, of ASCII texts alone. */
function regularExpression(name: string, text: string): (subject: string) => boolean {
  if (text.length > MOST_EXPRESSION) throw new FlowFilterError(`${name} is longer than ${MOST_EXPRESSION} characters`)
  const parsed = parseRegex(text)
  if ('problem' in parsed) throw new FlowFilterError(`${name} is no regular expression: it ${parsed.problem}`)
  const anywhere = parseRegex(`(?s:.*)(?:${text})(?s:.*)`)
  const program = 'regex' in anywhere ? compileRegexes([anywhere.regex]) : undefined
  if (!program) throw new FlowFilterError(`${name} is too large`)
  const matcher = new RegexMatcher(program)
  return subject => matcher.match(subject).length > 0
}
