// What `axoneme policy explain` is asked about a request: `--http "GET /products"` and
// the other options, read into what the matchers of proxies look at.

import type { Command } from 'commander'
import * as z from 'zod'
import { type AskedRequest, askedIn, kafkaRequestName, kafkaRequestNumber } from '../observe/index.ts'
import { QuestionError } from '../policy/index.ts'

export type RequestOptions = {
  readonly http?: string
  readonly host?: string
  readonly header?: readonly string[]
  readonly dns?: string
  readonly kafka?: string
  readonly kafkaClient?: string
  readonly serverName?: string
}

const collect = (value: string, all: readonly string[] = []): string[] => [...all, value]

export function withRequest(command: Command): Command {
  return command
    .option('--http <request>', 'and a request there, such as "GET /products"')
    .option('--host <name>', 'of the request of HTTP')
    .option('--header <header>', 'of the request of HTTP, such as "x-team: red"; may be given several times', collect)
    .option('--dns <name>', 'and a question there for this name')
    .option('--kafka <request>', 'and a request there, with its topic where it is about one, such as "produce orders"')
    .option('--kafka-client <id>', 'client id of the request of Kafka')
    .option('--server-name <name>', 'and a connection there by TLS to this name')
}

/** Undefined where only the connection is asked about. @throws QuestionError */
export function askedRequest(options: RequestOptions): AskedRequest | undefined {
  const { http, dns, kafka, serverName, host, header, kafkaClient } = options
  const kinds = [http, dns, kafka, serverName].filter(each => each !== undefined).length
  if (kinds > 1) throw new QuestionError('give one of --http, --dns, --kafka, --server-name')
  if (http === undefined && (host !== undefined || header !== undefined))
    throw new QuestionError('--host and --header go with --http, such as --http "GET /products"')
  if (kafka === undefined && kafkaClient !== undefined)
    throw new QuestionError('--kafka-client goes with --kafka, such as --kafka "produce orders"')
  if (http !== undefined) return httpRequest(http, host, header ?? [])
  if (dns !== undefined) return { parser: 'dns', name: nonEmpty('--dns', dns) }
  if (serverName !== undefined) return { parser: 'tls', serverName: nonEmpty('--server-name', serverName) }
  return kafka === undefined ? undefined : kafkaRequest(kafka, kafkaClient)
}

function nonEmpty(option: string, text: string): string {
  if (text.trim() === '') throw new QuestionError(`${option} needs a name`)
  return text.trim()
}

function httpRequest(text: string, host = '', headers: readonly string[]): AskedRequest {
  const [, method, path] = /^([!#$%&'*+.^_`|~\dA-Za-z-]+) +(\/\S*|\*)$/.exec(text.trim()) ?? []
  if (method === undefined || path === undefined)
    throw new QuestionError(`--http ${JSON.stringify(text)} is not METHOD /PATH, such as "GET /products"`)
  return { parser: 'http', method, path, host, headers: headers.map(readHeader) }
}

function readHeader(text: string): readonly [string, string] {
  const [, name, value = ''] = /^([!#$%&'*+.^_`|~\dA-Za-z-]+):(.*)$/s.exec(text) ?? []
  if (name === undefined) throw new QuestionError(`--header ${JSON.stringify(text)} is not NAME: VALUE`)
  return [name.toLowerCase(), value.trim()]
}

function kafkaRequest(text: string, clientId: string | undefined): AskedRequest {
  const [name = '', topic, ...more] = text.trim().split(/\s+/)
  const apiKey = kafkaRequestNumber(name)
  if (apiKey === undefined || more.length > 0)
    throw new QuestionError(`--kafka ${JSON.stringify(text)} is not REQUEST [TOPIC], such as "produce orders"`)
  return { parser: 'kafka', apiKey, ...(topic !== undefined && { topic }), ...(clientId !== undefined && { clientId }) }
}

const saidSchema = z.object({
  l7: z.object({
    http: z
      .object({
        method: z.string(),
        url: z.string(),
        headers: z.array(z.object({ key: z.string(), value: z.string() })).exactOptional(),
      })
      .optional(),
    dns: z.object({ query: z.string() }).optional(),
    kafka: z
      .object({
        apiKey: z.string(),
        apiVersion: z.int(),
        clientId: z.string().exactOptional(),
        topic: z.string().exactOptional(),
      })
      .optional(),
    tls: z.object({ serverName: z.string() }).optional(),
  }),
})

/** What was asked in a flow as `axoneme observe -o json` prints it; undefined for one of packets. */
export function requestInFlow(flow: unknown): AskedRequest | undefined {
  const { data } = saidSchema.safeParse(flow)
  return data && askedIn(data.l7)
}

/** For people: `GET /products`. */
export function askedText(asked: AskedRequest): string {
  switch (asked.parser) {
    case 'http':
      return `${asked.method} ${asked.path}${asked.host === '' ? '' : ` at ${asked.host}`}`
    case 'dns':
      return `the question for ${asked.name}`
    case 'kafka':
      return `${kafkaRequestName(asked.apiKey)} of Kafka${asked.topic === undefined ? '' : ` about ${asked.topic}`}`
    case 'tls':
      return `TLS to ${asked.serverName}`
  }
}
