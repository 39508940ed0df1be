// What clients may take of HAProxy's descriptors, as rules of its configuration. A
// connection takes two: the client's socket and a server's. A stream of HTTP/2 takes one
// more, to the server. When three quarters are taken, the rest is for clients with few.

import type { HaproxyOptions } from './options.ts'

type Sharing = Pick<HaproxyOptions, 'maxConnections' | 'sockets'>

/** Bodies are not moved by pipes. */
const DESCRIPTORS_OF_CONNECTION = 2
const DESCRIPTORS_OF_PROCESS = 200

/** How many connections the process can hold with so many descriptors (`ulimit -n`). At least one. */
export const maxConnectionsFor = (descriptorLimit: number): number =>
  Math.max(1, Math.floor((descriptorLimit - DESCRIPTORS_OF_PROCESS) / DESCRIPTORS_OF_CONNECTION))

/** Of all descriptors, those that a client may take whatever it has already. */
const FREE_FOR_ALL = 0.75
/** With fewer than these, a client may take of the others too. */
const FEW = 0.25

/** How many connections and how many streams of HTTP/2 each client has. */
export const clientTables = (maxConnections: number): string[][] =>
  ['clients', 'streams'].map(name => [
    `backend ${name}`,
    `stick-table type ipv6 size ${maxConnections} expire 1m store conn_cur`,
  ])

/** Descriptors that all have, and that the client has, each in a variable. */
const counted = (rule: string, scope: 'sess' | 'txn', { tls }: HaproxyOptions['sockets']): string[] => [
  `${rule} set-var(${scope}.fh) ${tls ? 'fe_conn(tls)' : 'int(0)'}`,
  `${rule} set-var(${scope}.fs) be_conn(http2)`,
  `${rule} set-var(${scope}.fa) fe_conn(http),add(${scope}.fh),mul(${DESCRIPTORS_OF_CONNECTION}),add(${scope}.fs)`,
  `${rule} set-var(${scope}.fs) src,table_conn_cur(streams)`,
  `${rule} set-var(${scope}.fc) sc0_conn_cur(clients),mul(${DESCRIPTORS_OF_CONNECTION}),add(${scope}.fs)`,
]

/** How the client's are compared: what is new may be counted already, or not. All have it counted. */
type Held = { readonly scope: 'sess' | 'txn'; readonly clients: 'gt' | 'ge' }

/** When it is too much: for anybody, or for a client that has more than few. */
function tooMuch(maxConnections: number, { scope, clients }: Held): string[] {
  const descriptors = maxConnections * DESCRIPTORS_OF_CONNECTION
  const part = (of: number): number => Math.floor(descriptors * of)
  const all = (of: number): string => `{ var(${scope}.fa) -m int gt ${part(of)} }`
  return [all(1), `${all(FREE_FOR_ALL)} { var(${scope}.fc) -m int ${clients} ${part(FEW)} }`]
}

/** Every frontend that takes connections. The new one is counted already. */
export const shareRules = ({ maxConnections, sockets }: Sharing): string[] => [
  'tcp-request connection track-sc0 src table clients',
  ...counted('tcp-request connection', 'sess', sockets),
  ...tooMuch(maxConnections, { scope: 'sess', clients: 'gt' }).map(held => `tcp-request connection reject if ${held}`),
]

/** Of the backend of HTTP/2: a request that is denied does not come so far, and takes no descriptor. */
export const streamRules = ({ maxConnections, sockets }: Sharing): string[] => [
  ...counted('http-request', 'txn', sockets),
  ...tooMuch(maxConnections, { scope: 'txn', clients: 'ge' }).map(
    held => `http-request set-var(txn.why) str(share) if ${held}`,
  ),
  'http-request return status 503 content-type text/plain string "Too many requests at a time\\r\\n" if { var(txn.why) -m str share }',
  'http-request track-sc1 src table streams',
]
