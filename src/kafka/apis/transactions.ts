// Requests about transactions and the numbers of producers.

import { type Api, api, everyIndex, everyPartition, KAFKA_ERROR, namesOf } from '../api.ts'
import { int16, int32, int64, list, nullableText, text } from '../schema.ts'

const topicError = KAFKA_ERROR.TOPIC_AUTHORIZATION_FAILED
const errorCode = KAFKA_ERROR.TRANSACTIONAL_ID_AUTHORIZATION_FAILED

const initProducerId = api({
  key: 22,
  name: 'initproducerid',
  versions: [0, 5],
  flexibleFrom: 2,
  scope: 'client',
  request: {
    transactionalId: nullableText(),
    timeoutMs: int32(),
    producerId: int64({ from: 3 }, -1n),
    producerEpoch: int16({ from: 3 }, -1),
  },
  response: {
    throttleTimeMs: int32(),
    errorCode: int16(),
    producerId: int64({}, -1n),
    producerEpoch: int16({}, -1),
  },
  deny: request => ({
    errorCode: request.transactionalId === null ? KAFKA_ERROR.CLUSTER_AUTHORIZATION_FAILED : errorCode,
  }),
})

const addPartitions = api({
  key: 24,
  name: 'addpartitionstotxn',
  // From version 4 on it is of brokers, about several transactions.
  versions: [0, 3],
  flexibleFrom: 3,
  scope: 'topics',
  request: {
    transactionalId: text(),
    producerId: int64(),
    producerEpoch: int16(),
    topics: list({ name: text(), indexes: list(int32()) }),
  },
  response: {
    throttleTimeMs: int32(),
    topics: list({ name: text(), partitions: list({ index: int32(), errorCode: int16() }) }),
  },
  topics: request => namesOf(request.topics),
  deny: request => ({
    topics: everyIndex(request.topics, topicError),
  }),
})

const addOffsets = api({
  key: 25,
  name: 'addoffsetstotxn',
  versions: [0, 4],
  flexibleFrom: 3,
  scope: 'client',
  response: { throttleTimeMs: int32(), errorCode: int16() },
  deny: () => ({ errorCode }),
})

const endTransaction = api({
  key: 26,
  name: 'endtxn',
  versions: [0, 4],
  flexibleFrom: 3,
  scope: 'client',
  response: { throttleTimeMs: int32(), errorCode: int16() },
  deny: () => ({ errorCode }),
})

const offsetCommit = api({
  key: 28,
  name: 'txnoffsetcommit',
  versions: [0, 4],
  flexibleFrom: 3,
  scope: 'topics',
  request: {
    transactionalId: text(),
    groupId: text(),
    producerId: int64(),
    producerEpoch: int16(),
    generation: int32({ from: 3 }, -1),
    memberId: text({ from: 3 }),
    groupInstanceId: nullableText({ from: 3 }),
    topics: list({
      name: text(),
      partitions: list({
        index: int32(),
        offset: int64(),
        leaderEpoch: int32({ from: 2 }, -1),
        metadata: nullableText(),
      }),
    }),
  },
  response: {
    throttleTimeMs: int32(),
    topics: list({ name: text(), partitions: list({ index: int32(), errorCode: int16() }) }),
  },
  topics: request => namesOf(request.topics),
  deny: request => ({ topics: everyPartition(request.topics, topicError) }),
})

export const TRANSACTION_APIS: readonly Api[] = [
  initProducerId,
  addPartitions,
  addOffsets,
  endTransaction,
  offsetCommit,
]
