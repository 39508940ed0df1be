// The line that HAProxy writes for each request, also for those that it refuses: a short
// form of an event, because HAProxy makes it for every request. src/observe/http-record.ts
// reads it. Bounded: long methods, hosts and paths are cut.

const text = (sample: string, length: number): string => `"%[${sample},bytes(0,${length}),json(utf8s)]"`

const variable = (name: string): string => `"%[var(${name})]"`

/** When, who with whom, by which rules, and through which service. */
export const CONNECTION_FIELDS: readonly string[] = [
  '%[date(0,us)]',
  '"%ci"',
  '%cp',
  '"%[dst]"',
  '%[dst_port]',
  ...['sess.o', 'sess.r', 'txn.e', 'txn.i', 'txn.er', 'txn.ir', 'sess.pe', 'sess.pi', 'sess.s'].map(variable),
]

/** One word of the configuration, for `log-format`. */
export const LOG_FORMAT = `'{"http":[${[
  ...CONNECTION_FIELDS,
  ...['txn.why', 'txn.l', 'txn.g'].map(variable),
  text('var(txn.q)', 2048),
  text('var(txn.h)', 256),
  '"%HV"',
  '%ST',
  '"%ts"',
  text('var(txn.told)', 256),
].join(',')}]}'`
