// Requests about where the replicas of partitions are, who writes to them, and the
// brokers that have them.

import { type Api, api, everyIndex, everyPartition, KAFKA_ERROR, namesOf } from '../api.ts'
import { bool, int8, int16, int32, int64, list, nullableList, nullableText, text } from '../schema.ts'

const topicError = KAFKA_ERROR.TOPIC_AUTHORIZATION_FAILED
const errorCode = KAFKA_ERROR.CLUSTER_AUTHORIZATION_FAILED
const indexed = { name: text(), indexes: list(int32()) }

const alterReplicaLogDirs = api({
  key: 34,
  name: 'alterreplicalogdirs',
  versions: [0, 2],
  flexibleFrom: 2,
  scope: 'topics',
  request: { folders: list({ path: text(), topics: list(indexed) }) },
  response: {
    throttleTimeMs: int32(),
    topics: list({ name: text(), partitions: list({ index: int32(), errorCode: int16() }) }),
  },
  topics: request => request.folders.flatMap(({ topics }) => namesOf(topics)),
  deny: request => ({ topics: request.folders.flatMap(({ topics }) => everyIndex(topics, topicError)) }),
})

const describeLogDirs = api({
  key: 35,
  name: 'describelogdirs',
  versions: [0, 4],
  flexibleFrom: 2,
  scope: 'topics',
  request: { topics: nullableList(indexed) },
  response: {
    throttleTimeMs: int32(),
    errorCode: int16({ from: 3 }),
    folders: list({
      errorCode: int16(),
      path: text(),
      topics: list({ name: text() }),
      totalBytes: int64({ from: 4 }, -1n),
      usableBytes: int64({ from: 4 }, -1n),
    }),
  },
  topics: ({ topics }) => (topics ? namesOf(topics) : undefined),
  deny: (_, version) => ({ errorCode, folders: version < 3 ? [{ errorCode }] : [] }),
})

const alterPartitionReassignments = api({
  key: 45,
  name: 'alterpartitionreassignments',
  versions: [0, 0],
  flexibleFrom: 0,
  scope: 'topics',
  request: {
    timeoutMs: int32(),
    topics: list({ name: text(), partitions: list({ index: int32(), replicas: nullableList(int32()) }) }),
  },
  response: {
    throttleTimeMs: int32(),
    errorCode: int16(),
    errorMessage: nullableText(),
    topics: list({
      name: text(),
      partitions: list({ index: int32(), errorCode: int16(), errorMessage: nullableText() }),
    }),
  },
  topics: request => namesOf(request.topics),
  deny: request => ({ topics: everyPartition(request.topics, topicError) }),
})

const listPartitionReassignments = api({
  key: 46,
  name: 'listpartitionreassignments',
  versions: [0, 0],
  flexibleFrom: 0,
  scope: 'topics',
  request: { timeoutMs: int32(), topics: nullableList(indexed) },
  response: {
    throttleTimeMs: int32(),
    errorCode: int16(),
    errorMessage: nullableText(),
    topics: list({ name: text() }),
  },
  topics: ({ topics }) => (topics ? namesOf(topics) : undefined),
  deny: () => ({ errorCode }),
})

const describeCluster = api({
  key: 60,
  name: 'describecluster',
  versions: [0, 1],
  flexibleFrom: 0,
  scope: 'cluster',
  request: { includeAuthorizedOperations: bool(), endpointType: int8({ from: 1 }) },
  response: {
    throttleTimeMs: int32(),
    errorCode: int16(),
    errorMessage: nullableText(),
    endpointType: int8({ from: 1 }),
    clusterId: text(),
    controllerId: int32({}, -1),
    brokers: list({ id: int32(), host: text(), port: int32(), rack: nullableText() }),
    authorizedOperations: int32({}, -2147483648),
  },
  deny: () => ({ errorCode }),
})

const describeProducers = api({
  key: 61,
  name: 'describeproducers',
  versions: [0, 0],
  flexibleFrom: 0,
  scope: 'topics',
  request: { topics: list(indexed) },
  response: {
    throttleTimeMs: int32(),
    topics: list({
      name: text(),
      partitions: list({
        index: int32(),
        errorCode: int16(),
        errorMessage: nullableText(),
        producers: list({ producerId: int64() }),
      }),
    }),
  },
  topics: request => namesOf(request.topics),
  deny: request => ({ topics: everyIndex(request.topics, topicError) }),
})

export const REPLICA_APIS: readonly Api[] = [
  alterReplicaLogDirs,
  describeLogDirs,
  alterPartitionReassignments,
  listPartitionReassignments,
  describeCluster,
  describeProducers,
]
