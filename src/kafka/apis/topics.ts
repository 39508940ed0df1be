// Requests about topics and what is known of them: metadata, offsets in them, their
// making and their end. From DeleteTopics 6 on topics may have numbers instead of names.

import { type Api, api, everyPartition, KAFKA_ERROR, namesOf } from '../api.ts'
import { bool, int8, int16, int32, int64, list, nullableList, nullableText, text, uuid } from '../schema.ts'

const errorCode = KAFKA_ERROR.TOPIC_AUTHORIZATION_FAILED
/** Nobody has asked which operations are allowed. */
const NO_OPERATIONS = -2147483648

const listOffsets = api({
  key: 2,
  name: 'offsets',
  versions: [0, 9],
  flexibleFrom: 6,
  scope: 'topics',
  request: {
    replicaId: int32(),
    isolationLevel: int8({ from: 2 }),
    topics: list({
      name: text(),
      partitions: list({
        index: int32(),
        currentLeaderEpoch: int32({ from: 4 }, -1),
        timestamp: int64(),
        maxOffsets: int32({ to: 0 }, 1),
      }),
    }),
  },
  response: {
    throttleTimeMs: int32({ from: 2 }),
    topics: list({
      name: text(),
      partitions: list({
        index: int32(),
        errorCode: int16(),
        oldOffsets: list(int64(), { to: 0 }),
        timestamp: int64({ from: 1 }, -1n),
        offset: int64({ from: 1 }, -1n),
        leaderEpoch: int32({ from: 4 }, -1),
      }),
    }),
  },
  topics: request => namesOf(request.topics),
  deny: request => ({ topics: everyPartition(request.topics, errorCode) }),
})

const metadata = api({
  key: 3,
  name: 'metadata',
  versions: [0, 12],
  flexibleFrom: 9,
  scope: 'topics',
  request: {
    topics: nullableList({ id: uuid({ from: 10 }), name: nullableText({ nullableFrom: 10 }) }, { nullableFrom: 1 }),
    allowAutoTopicCreation: bool({ from: 4 }),
    includeClusterAuthorizedOperations: bool({ from: 8, to: 10 }),
    includeTopicAuthorizedOperations: bool({ from: 8 }),
  },
  response: {
    throttleTimeMs: int32({ from: 3 }),
    brokers: list({ id: int32(), host: text(), port: int32(), rack: nullableText({ from: 1 }) }),
    clusterId: nullableText({ from: 2 }),
    controllerId: int32({ from: 1 }, -1),
    topics: list({
      errorCode: int16(),
      name: nullableText({ nullableFrom: 12 }),
      id: uuid({ from: 10 }),
      isInternal: bool({ from: 1 }),
      partitions: list({
        errorCode: int16(),
        index: int32(),
        leaderId: int32(),
        leaderEpoch: int32({ from: 7 }, -1),
        replicas: list(int32()),
        inSync: list(int32()),
        offline: list(int32(), { from: 5 }),
      }),
      authorizedOperations: int32({ from: 8 }, NO_OPERATIONS),
    }),
    authorizedOperations: int32({ from: 8, to: 10 }, NO_OPERATIONS),
  },
  topics: ({ topics }, version) => {
    // In version 0 an empty list stands for all topics.
    if (!topics || (version === 0 && topics.length === 0)) return undefined
    const names = topics.map(topic => topic.name)
    return names.every(name => name !== null) ? names : undefined
  },
  deny: ({ topics }) => ({ topics: (topics ?? []).map(({ id, name }) => ({ errorCode, id, name })) }),
})

const createTopics = api({
  key: 19,
  name: 'createtopics',
  versions: [0, 7],
  flexibleFrom: 5,
  scope: 'topics',
  request: {
    topics: list({
      name: text(),
      partitions: int32(),
      replicationFactor: int16(),
      assignments: list({ index: int32(), brokers: list(int32()) }),
      configs: list({ name: text(), value: nullableText() }),
    }),
    timeoutMs: int32(),
    validateOnly: bool({ from: 1 }),
  },
  response: {
    throttleTimeMs: int32({ from: 2 }),
    topics: list({
      name: text(),
      id: uuid({ from: 7 }),
      errorCode: int16(),
      errorMessage: nullableText({ from: 1 }),
      partitions: int32({ from: 5 }, -1),
      replicationFactor: int16({ from: 5 }, -1),
      configs: nullableList(
        { name: text(), value: nullableText(), readOnly: bool(), source: int8(), sensitive: bool() },
        { from: 5 },
      ),
    }),
  },
  topics: request => namesOf(request.topics),
  deny: request => ({ topics: request.topics.map(({ name }) => ({ name, errorCode })) }),
})

const deleteTopics = api({
  key: 20,
  name: 'deletetopics',
  versions: [0, 5],
  flexibleFrom: 4,
  scope: 'topics',
  request: { names: list(text()), timeoutMs: int32() },
  response: {
    throttleTimeMs: int32({ from: 1 }),
    topics: list({ name: text(), errorCode: int16(), errorMessage: nullableText({ from: 5 }) }),
  },
  topics: request => request.names,
  deny: request => ({ topics: request.names.map(name => ({ name, errorCode })) }),
})

const deleteRecords = api({
  key: 21,
  name: 'deleterecords',
  versions: [0, 2],
  flexibleFrom: 2,
  scope: 'topics',
  request: {
    topics: list({ name: text(), partitions: list({ index: int32(), offset: int64() }) }),
    timeoutMs: int32(),
  },
  response: {
    throttleTimeMs: int32(),
    topics: list({
      name: text(),
      partitions: list({ index: int32(), lowWatermark: int64({}, -1n), errorCode: int16() }),
    }),
  },
  topics: request => namesOf(request.topics),
  deny: request => ({ topics: everyPartition(request.topics, errorCode) }),
})

const offsetForLeaderEpoch = api({
  key: 23,
  name: 'offsetforleaderepoch',
  versions: [0, 4],
  flexibleFrom: 4,
  scope: 'topics',
  request: {
    replicaId: int32({ from: 3 }),
    topics: list({
      name: text(),
      partitions: list({ index: int32(), currentLeaderEpoch: int32({ from: 2 }, -1), leaderEpoch: int32() }),
    }),
  },
  response: {
    throttleTimeMs: int32({ from: 2 }),
    topics: list({
      name: text(),
      partitions: list({
        errorCode: int16(),
        index: int32(),
        leaderEpoch: int32({ from: 1 }, -1),
        endOffset: int64({}, -1n),
      }),
    }),
  },
  topics: request => namesOf(request.topics),
  deny: request => ({ topics: everyPartition(request.topics, errorCode) }),
})

const createPartitions = api({
  key: 37,
  name: 'createpartitions',
  versions: [0, 3],
  flexibleFrom: 2,
  scope: 'topics',
  request: {
    topics: list({ name: text(), count: int32(), assignments: nullableList({ brokers: list(int32()) }) }),
    timeoutMs: int32(),
    validateOnly: bool(),
  },
  response: {
    throttleTimeMs: int32(),
    topics: list({ name: text(), errorCode: int16(), errorMessage: nullableText() }),
  },
  topics: request => namesOf(request.topics),
  deny: request => ({ topics: request.topics.map(({ name }) => ({ name, errorCode })) }),
})

export const TOPIC_APIS: readonly Api[] = [
  listOffsets,
  metadata,
  createTopics,
  deleteTopics,
  deleteRecords,
  offsetForLeaderEpoch,
  createPartitions,
]
