// The line that HAProxy writes for each request, also for those that it refuses: a short
// form of an event, because HAProxy makes it for every request. src/observe/http-record.ts
// reads it. Bounded: long methods, hosts and paths are cut.
//
// What tells requests that simply passed from all others comes first: of those, no more
// is read until somebody wants to know (src/observe/told-line.ts).

import type { KernelAnswers } from './options.ts'

/**
 * Longer lines are cut, and counted as lost. No request that goes on has one: JSON writes a quotation mark in two bytes and a
 * letter of two bytes in six, which makes 15,000. Control characters take six too; what has them is refused. A buffer of
 * HAProxy's has 16,384 (tune.bufsize).
 */
export const MOST_LINE_BYTES = 15_800

const text = (sample: string, length: number): string => `"%[${sample},bytes(0,${length}),json(utf8s)]"`

const variable = (name: string): string => `"%[var(${name})]"`

/** How it ended, why it was refused, what the rules of both directions said; when, by which rules, who with whom. */
export const JUDGED_FIELDS: readonly string[] = [
  '"%ts"',
  ...['txn.why', 'txn.er', 'txn.ir'].map(variable),
  '%[date(0,us)]',
  ...['txn.e', 'txn.i'].map(variable),
  '%[var(sess.c)]',
]

const requestText = (judged: readonly string[], headers: readonly string[] = []): string =>
  `[${[
    ...judged,
    ...['txn.l', 'txn.g'].map(variable),
    text('var(txn.q)', 2048),
    text('var(txn.h)', 256),
    '"%HV"',
    '%ST',
    text('var(txn.told)', 256),
    ...headers.flatMap((name, place) => [`"${name}"`, text(`var(${headerVariable(place)})`, 128)]),
  ].join(',')}]`

/** What holds the value of a header that is told, by the place of its name. */
export const headerVariable = (place: number): string => `txn.x${place}`

/** One word of the configuration, for `log-format`. @param headers names that are told, each with its value, at the end */
export const logFormat = (headers: readonly string[]): string => `'{"http":${requestText(JUDGED_FIELDS, headers)}}'`
/** The same, of requests that came inside of TLS. */
export const httpsLogFormat = (headers: readonly string[]): string =>
  `'{"https":${requestText(JUDGED_FIELDS, headers)}}'`
/** Of a connection of which TLS did not come about. */
export const HANDSHAKE_LOG_FORMAT = `'{"https":${requestText(JUDGED_FIELDS.with(1, '"handshake"'))}}'`

const ENDS = '"%[src]",%[src_port],"%[dst]",%[dst_port]'

/**
 * What is the same for many requests of a connection, put together once and kept (`sess.c`): who with whom, and, as far as
 * the kernel has been asked, their identities, the service and the rules of policy. A word of the configuration.
 */
export const connectionText = (known?: KernelAnswers): string => {
  const answers = known
    ? [known.openerIdentity, known.responderIdentity, known.egressRule, known.ingressRule, known.service]
    : []
  const facts = answers.length > 0 ? answers.map(answer => `"%[${answer}]"`) : Array.from({ length: 5 }, () => '"-"')
  return `'${[ENDS, ...facts].join(',')}'`
}
