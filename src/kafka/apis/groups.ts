// Requests about groups of consumers and what they have read.

import { type Api, api, everyIndex, everyPartition, KAFKA_ERROR, namesOf } from '../api.ts'
import { bool, bytes, int8, int16, int32, int64, list, nullableList, nullableText, records, text } from '../schema.ts'

const topicError = KAFKA_ERROR.TOPIC_AUTHORIZATION_FAILED
const errorCode = KAFKA_ERROR.GROUP_AUTHORIZATION_FAILED

const offsetCommit = api({
  key: 8,
  name: 'offsetcommit',
  versions: [0, 9],
  flexibleFrom: 8,
  scope: 'topics',
  request: {
    groupId: text(),
    generation: int32({ from: 1 }, -1),
    memberId: text({ from: 1 }),
    groupInstanceId: nullableText({ from: 7 }),
    retentionTimeMs: int64({ from: 2, to: 4 }, -1n),
    topics: list({
      name: text(),
      partitions: list({
        index: int32(),
        offset: int64(),
        leaderEpoch: int32({ from: 6 }, -1),
        commitTimestamp: int64({ from: 1, to: 1 }, -1n),
        metadata: nullableText(),
      }),
    }),
  },
  response: {
    throttleTimeMs: int32({ from: 3 }),
    topics: list({ name: text(), partitions: list({ index: int32(), errorCode: int16() }) }),
  },
  topics: request => namesOf(request.topics),
  deny: request => ({ topics: everyPartition(request.topics, topicError) }),
})

const offsetPartition = {
  index: int32(),
  offset: int64({}, -1n),
  leaderEpoch: int32({ from: 5 }, -1),
  metadata: nullableText(),
  errorCode: int16(),
}

const offsetFetch = api({
  key: 9,
  name: 'offsetfetch',
  versions: [0, 9],
  flexibleFrom: 6,
  scope: 'topics',
  request: {
    groupId: text({ to: 7 }),
    topics: nullableList({ name: text(), indexes: list(int32()) }, { to: 7, nullableFrom: 2 }),
    groups: list(
      {
        groupId: text(),
        memberId: nullableText({ from: 9 }),
        memberEpoch: int32({ from: 9 }, -1),
        topics: nullableList({ name: text(), indexes: list(int32()) }),
      },
      { from: 8 },
    ),
    requireStable: bool({ from: 7 }),
  },
  response: {
    throttleTimeMs: int32({ from: 3 }),
    topics: list({ name: text(), partitions: list(offsetPartition) }, { to: 7 }),
    errorCode: int16({ from: 2, to: 7 }),
    groups: list(
      {
        groupId: text(),
        topics: list({ name: text(), partitions: list(offsetPartition) }),
        errorCode: int16(),
      },
      { from: 8 },
    ),
  },
  topics: ({ topics, groups }, version) => {
    const lists = version >= 8 ? groups.map(group => group.topics) : [topics]
    return lists.includes(null) ? undefined : lists.flatMap(list => namesOf(list ?? []))
  },
  deny: ({ topics, groups }) => ({
    topics: everyIndex(topics ?? [], topicError),
    errorCode: topics ? 0 : errorCode,
    groups: groups.map(({ groupId, topics: named }) => ({
      groupId,
      topics: everyIndex(named ?? [], topicError),
      errorCode: named ? 0 : errorCode,
    })),
  }),
})

const findCoordinator = api({
  key: 10,
  name: 'findcoordinator',
  versions: [0, 6],
  flexibleFrom: 3,
  scope: 'client',
  request: { key: text({ to: 3 }), keyType: int8({ from: 1 }), keys: list(text(), { from: 4 }) },
  response: {
    throttleTimeMs: int32({ from: 1 }),
    errorCode: int16({ to: 3 }),
    errorMessage: nullableText({ from: 1, to: 3 }),
    nodeId: int32({ to: 3 }, -1),
    host: text({ to: 3 }),
    port: int32({ to: 3 }, -1),
    coordinators: list(
      {
        key: text(),
        nodeId: int32({}, -1),
        host: text(),
        port: int32({}, -1),
        errorCode: int16(),
        errorMessage: nullableText(),
      },
      { from: 4 },
    ),
  },
  deny: ({ keyType, keys }) => {
    const error = keyType === 1 ? KAFKA_ERROR.TRANSACTIONAL_ID_AUTHORIZATION_FAILED : errorCode
    return { errorCode: error, coordinators: keys.map(key => ({ key, errorCode: error })) }
  },
})

const joinGroup = api({
  key: 11,
  name: 'joingroup',
  versions: [0, 9],
  flexibleFrom: 6,
  scope: 'client',
  request: {
    groupId: text(),
    sessionTimeoutMs: int32(),
    rebalanceTimeoutMs: int32({ from: 1 }),
    memberId: text(),
    groupInstanceId: nullableText({ from: 5 }),
    protocolType: text(),
    // Topics are in these too, as the members of the group have agreed among themselves: what they then fetch is judged.
    protocols: list({ name: text(), metadata: records() }),
    reason: nullableText({ from: 8 }),
  },
  response: {
    throttleTimeMs: int32({ from: 2 }),
    errorCode: int16(),
    generation: int32({}, -1),
    protocolType: nullableText({ from: 7 }),
    protocolName: nullableText({ nullableFrom: 7 }),
    leader: text(),
    skipAssignment: bool({ from: 9 }),
    memberId: text(),
    members: list({ memberId: text(), groupInstanceId: nullableText({ from: 5 }), metadata: bytes() }),
  },
  deny: () => ({ errorCode }),
})

const heartbeat = api({
  key: 12,
  name: 'heartbeat',
  versions: [0, 4],
  flexibleFrom: 4,
  scope: 'client',
  response: { throttleTimeMs: int32({ from: 1 }), errorCode: int16() },
  deny: () => ({ errorCode }),
})

const leaveGroup = api({
  key: 13,
  name: 'leavegroup',
  versions: [0, 5],
  flexibleFrom: 4,
  scope: 'client',
  response: {
    throttleTimeMs: int32({ from: 1 }),
    errorCode: int16(),
    members: list({ memberId: text(), groupInstanceId: nullableText(), errorCode: int16() }, { from: 3 }),
  },
  deny: () => ({ errorCode }),
})

const syncGroup = api({
  key: 14,
  name: 'syncgroup',
  versions: [0, 5],
  flexibleFrom: 4,
  scope: 'client',
  request: {
    groupId: text(),
    generation: int32(),
    memberId: text(),
    groupInstanceId: nullableText({ from: 3 }),
    protocolType: nullableText({ from: 5 }),
    protocolName: nullableText({ from: 5 }),
    assignments: list({ memberId: text(), assignment: records() }),
  },
  response: {
    throttleTimeMs: int32({ from: 1 }),
    errorCode: int16(),
    protocolType: nullableText({ from: 5 }),
    protocolName: nullableText({ from: 5 }),
    assignment: bytes(),
  },
  deny: () => ({ errorCode }),
})

const describeGroups = api({
  key: 15,
  name: 'describegroups',
  versions: [0, 5],
  flexibleFrom: 5,
  scope: 'cluster',
  request: { groups: list(text()), includeAuthorizedOperations: bool({ from: 3 }) },
  response: {
    throttleTimeMs: int32({ from: 1 }),
    groups: list({
      errorCode: int16(),
      groupId: text(),
      state: text(),
      protocolType: text(),
      protocol: text(),
      members: list({ memberId: text() }),
      authorizedOperations: int32({ from: 3 }, -2147483648),
    }),
  },
  deny: request => ({ groups: request.groups.map(groupId => ({ groupId, errorCode })) }),
})

const listGroups = api({
  key: 16,
  name: 'listgroups',
  versions: [0, 5],
  flexibleFrom: 3,
  scope: 'cluster',
  response: {
    throttleTimeMs: int32({ from: 1 }),
    errorCode: int16(),
    groups: list({ groupId: text() }),
  },
  deny: () => ({ errorCode: KAFKA_ERROR.CLUSTER_AUTHORIZATION_FAILED }),
})

const deleteGroups = api({
  key: 42,
  name: 'deletegroups',
  versions: [0, 2],
  flexibleFrom: 2,
  scope: 'cluster',
  request: { groups: list(text()) },
  response: { throttleTimeMs: int32(), groups: list({ groupId: text(), errorCode: int16() }) },
  deny: request => ({ groups: request.groups.map(groupId => ({ groupId, errorCode })) }),
})

const offsetDelete = api({
  key: 47,
  name: 'offsetdelete',
  versions: [0, 0],
  scope: 'topics',
  request: { groupId: text(), topics: list({ name: text(), partitions: list({ index: int32() }) }) },
  response: {
    errorCode: int16(),
    throttleTimeMs: int32(),
    topics: list({ name: text(), partitions: list({ index: int32(), errorCode: int16() }) }),
  },
  topics: request => namesOf(request.topics),
  deny: request => ({ topics: everyPartition(request.topics, topicError) }),
})

export const GROUP_APIS: readonly Api[] = [
  offsetCommit,
  offsetFetch,
  findCoordinator,
  joinGroup,
  heartbeat,
  leaveGroup,
  syncGroup,
  describeGroups,
  listGroups,
  deleteGroups,
  offsetDelete,
]
