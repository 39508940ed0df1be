// What there is to know of one kind of request: its versions, its fields, whom it is
// about, and the answer that denies it. The kinds themselves are in ./apis.

import type { Fields, Partly, Values } from './schema.ts'

/**
 * What a request is about. `topics`: those that it names, or all of them where it names none. `client`: what a client
 * needs besides to use topics, such as its group. `cluster`: anything else.
 */
export type Scope = 'topics' | 'client' | 'cluster'

/** `undefined`: all topics, or some that have no name in it. */
export type Topics = readonly string[] | undefined

type Body = Readonly<Record<string, unknown>>

/** A kind of request, with the types of its fields forgotten. */
export type Api = {
  /** Number in the protocol. */
  readonly key: number
  /** In lower case, as policies have it. */
  readonly name: string
  /** Those that are let through, both ends included. */
  readonly versions: readonly [number, number]
  /** First version with tagged fields and short lengths. */
  readonly flexibleFrom: number
  readonly scope: Scope
  /** Absent: the body is not read. */
  readonly request?: Fields
  /** Of the answer; absent: it is denied by the end of the connection. */
  readonly response?: Fields
  topics?(request: Body, version: number): Topics
  deny?(request: Body, version: number): Body
  /** Absent: each request has an answer. */
  answered?(request: Body): boolean
}

type Definition<Q extends Fields, R extends Fields> = Omit<
  Api,
  'request' | 'response' | 'topics' | 'deny' | 'answered' | 'flexibleFrom'
> & {
  readonly flexibleFrom?: number
  readonly request?: Q
  readonly response?: R
  readonly topics?: (request: Values<Q>, version: number) => Topics
  readonly deny?: (request: Values<Q>, version: number) => Partly<Values<R>>
  readonly answered?: (request: Values<Q>) => boolean
}

/** Checks a kind's functions against its own fields. */
export function api<Q extends Fields, R extends Fields>(definition: Definition<Q, R>): Api {
  return { flexibleFrom: Number.MAX_SAFE_INTEGER, ...definition } as unknown as Api
}

/** Codes of the protocol (kafka.apache.org/protocol#protocol_error_codes). */
export const KAFKA_ERROR = {
  TOPIC_AUTHORIZATION_FAILED: 29,
  GROUP_AUTHORIZATION_FAILED: 30,
  CLUSTER_AUTHORIZATION_FAILED: 31,
  UNSUPPORTED_VERSION: 35,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 53,
  FETCH_SESSION_ID_NOT_FOUND: 70,
} as const

type TopicOfPartitions = { readonly name: string; readonly partitions: readonly { readonly index: number }[] }

/** The same error for each partition of each topic. */
export const everyPartition = (
  topics: readonly TopicOfPartitions[],
  errorCode: number,
): { name: string; partitions: { index: number; errorCode: number }[] }[] =>
  topics.map(({ name, partitions }) => ({ name, partitions: partitions.map(({ index }) => ({ index, errorCode })) }))

export const namesOf = (topics: readonly { readonly name: string }[]): readonly string[] =>
  topics.map(topic => topic.name)

type TopicOfIndexes = { readonly name: string; readonly indexes: readonly number[] }

export const everyIndex = (topics: readonly TopicOfIndexes[], errorCode: number): ReturnType<typeof everyPartition> =>
  everyPartition(
    topics.map(({ name, indexes }) => ({ name, partitions: indexes.map(index => ({ index })) })),
    errorCode,
  )
