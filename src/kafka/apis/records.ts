// Requests that move records: Produce and Fetch. From Produce 13 and Fetch 13 on topics
// have numbers instead of names, so these versions are not let through.

import { type Api, api, everyPartition, KAFKA_ERROR, namesOf } from '../api.ts'
import { bytes, int8, int16, int32, int64, list, nullableList, nullableText, records, text } from '../schema.ts'

const errorCode = KAFKA_ERROR.TOPIC_AUTHORIZATION_FAILED

const produce = api({
  key: 0,
  name: 'produce',
  versions: [0, 12],
  flexibleFrom: 9,
  scope: 'topics',
  request: {
    transactionalId: nullableText({ from: 3 }),
    acks: int16(),
    timeoutMs: int32(),
    topics: list({ name: text(), partitions: list({ index: int32(), records: records() }) }),
  },
  response: {
    topics: list({
      name: text(),
      partitions: list({
        index: int32(),
        errorCode: int16(),
        baseOffset: int64({}, -1n),
        logAppendTimeMs: int64({ from: 2 }, -1n),
        logStartOffset: int64({ from: 5 }, -1n),
        recordErrors: list({ batchIndex: int32(), message: nullableText() }, { from: 8 }),
        errorMessage: nullableText({ from: 8 }),
      }),
    }),
    throttleTimeMs: int32({ from: 1 }),
  },
  topics: request => namesOf(request.topics),
  answered: request => request.acks !== 0,
  deny: request => ({ topics: everyPartition(request.topics, errorCode) }),
})

const fetch = api({
  key: 1,
  name: 'fetch',
  versions: [0, 12],
  flexibleFrom: 12,
  scope: 'topics',
  request: {
    replicaId: int32(),
    maxWaitMs: int32(),
    minBytes: int32(),
    maxBytes: int32({ from: 3 }),
    isolationLevel: int8({ from: 4 }),
    sessionId: int32({ from: 7 }),
    sessionEpoch: int32({ from: 7 }, -1),
    topics: list({
      name: text(),
      partitions: list({
        index: int32(),
        currentLeaderEpoch: int32({ from: 9 }, -1),
        fetchOffset: int64(),
        lastFetchedEpoch: int32({ from: 12 }, -1),
        logStartOffset: int64({ from: 5 }, -1n),
        maxBytes: int32(),
      }),
    }),
    forgotten: list({ name: text(), partitions: list(int32()) }, { from: 7 }),
    rackId: text({ from: 11 }),
  },
  response: {
    throttleTimeMs: int32({ from: 1 }),
    errorCode: int16({ from: 7 }),
    sessionId: int32({ from: 7 }),
    topics: list({
      name: text(),
      partitions: list({
        index: int32(),
        errorCode: int16(),
        highWatermark: int64({}, -1n),
        lastStableOffset: int64({ from: 4 }, -1n),
        logStartOffset: int64({ from: 5 }, -1n),
        abortedTransactions: nullableList({ producerId: int64(), firstOffset: int64() }, { from: 4 }),
        preferredReadReplica: int32({ from: 11 }, -1),
        records: bytes(),
      }),
    }),
  },
  topics: request => namesOf(request.topics),
  deny: request => ({ topics: everyPartition(request.topics, errorCode) }),
})

export const RECORD_APIS: readonly Api[] = [produce, fetch]
