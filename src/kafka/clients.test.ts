// Every version of every kind of request, encoded by a client of others, and our denials
// read by it. A version that the client does not have is named in `without`.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { ResponseError } from '@platformatic/kafka'
import { writeAnswer, writeDenial } from './answer.ts'
import { KAFKA_APIS } from './catalogue.ts'
import { type KafkaRequest, parseRequest } from './request.ts'
import { CLIENT_ID, type ClientRequest, CORRELATION_ID, clientRequest } from './testing/platformatic.ts'

type Kind = {
  /** As the client has it. */
  readonly name: string
  readonly args: (version: number) => readonly unknown[]
  /** Absent: of all topics. */
  readonly topics?: readonly string[]
  readonly errors: readonly number[]
  readonly without?: readonly number[]
  /** Versions that the client encodes or reads otherwise than the protocol has them, and why. */
  readonly mistaken?: Readonly<Record<number, string>>
}

const partitions = [0, 3].map(partition => ({
  partition,
  partitionIndex: partition,
  currentLeaderEpoch: 1,
  leaderEpoch: 1,
  fetchOffset: 5n,
  offset: 5n,
  lastFetchedEpoch: 0,
  partitionMaxBytes: 100,
  timestamp: -1n,
  maxNumOffsets: 1,
  committedOffset: 5n,
  committedLeaderEpoch: 1,
  committedMetadata: 'm',
  commitTimestamp: 1n,
}))
const TOPICS = ['orders', 'größe']
const topics = TOPICS.map(name => ({ name, topic: name, topicId: name, partitions }))
const named = TOPICS.map(name => ({ name, partitionIndexes: [0, 3], partitions: [0, 3] }))
const messages = TOPICS.map(topic => ({
  topic,
  partition: 2,
  key: Buffer.from('k'),
  value: Buffer.from('v'.repeat(300)),
}))
const resources = TOPICS.map(resourceName => ({
  resourceType: 2,
  resourceName,
  configurationKeys: ['a'],
  configs: [{ name: 'a', value: 'b', configOperation: 0 }],
}))
const acl = {
  resourceType: 2,
  resourceTypeFilter: 2,
  resourceName: 'x',
  resourceNameFilter: 'x',
  resourcePatternType: 3,
  patternTypeFilter: 3,
  principal: 'User:a',
  principalFilter: 'User:a',
  host: '*',
  hostFilter: '*',
  operation: 2,
  permissionType: 3,
}
const transaction = { transactionalId: 't', producerId: 1n, producerEpoch: 0, verifyOnly: false, topics: named }

const KINDS: readonly Kind[] = [
  { name: 'produce', args: () => [1, 100, messages, {}], topics: TOPICS, errors: [29], without: [0, 1, 2, 12] },
  {
    name: 'fetch',
    args: () => [100, 1, 1000, 0, 0, -1, topics, [{ topic: 'gone', topicId: 'gone', partitions: [1] }], 'rack'],
    topics: TOPICS,
    errors: [29],
    without: [0, 1, 2, 3],
  },
  { name: 'listOffsets', args: () => [-1, 1, topics], topics: TOPICS, errors: [29] },
  { name: 'metadata', args: () => [TOPICS, false, true, true], topics: TOPICS, errors: [29] },
  { name: 'metadata', args: version => [version === 0 ? [] : null], errors: [] },
  { name: 'offsetCommit', args: () => ['g', 1, 'm', 'i', topics], topics: TOPICS, errors: [29] },
  {
    name: 'offsetFetch',
    args: () => [[{ groupId: 'g', memberId: 'm', memberEpoch: 1, topics: named }], true],
    topics: TOPICS,
    errors: [29],
  },
  { name: 'findCoordinator', args: () => [0, ['g']], topics: [], errors: [30] },
  { name: 'findCoordinator', args: () => [1, ['t']], topics: [], errors: [53], mistaken: { 0: 'groups alone' } },
  {
    name: 'joinGroup',
    args: () => ['g', 1000, 1000, 'm', 'i', 'consumer', [{ name: 'p' }], 'r'],
    topics: [],
    errors: [30],
  },
  { name: 'heartbeat', args: () => ['g', 1, 'm', 'i'], topics: [], errors: [30] },
  {
    name: 'leaveGroup',
    args: () => ['g', [{ memberId: 'm', groupInstanceId: 'i', reason: 'r' }]],
    topics: [],
    errors: [30],
  },
  {
    name: 'syncGroup',
    args: () => ['g', 1, 'm', 'i', 'consumer', 'p', [{ memberId: 'm', assignment: Buffer.from('a') }]],
    topics: [],
    errors: [30],
  },
  { name: 'describeGroups', args: () => [['g', 'h'], true], topics: [], errors: [30] },
  { name: 'listGroups', args: () => [['Stable'], ['consumer']], topics: [], errors: [31] },
  { name: 'saslHandshake', args: () => ['PLAIN'], topics: [], errors: [31] },
  {
    name: 'apiVersions',
    args: () => ['name', '1'],
    topics: [],
    errors: [31],
    mistaken: { 3: 'it stops at the error', 4: 'as 3' },
  },
  {
    name: 'createTopics',
    args: () => [
      TOPICS.map(name => ({
        name,
        numPartitions: 1,
        replicationFactor: 1,
        assignments: [{ partitionIndex: 0, brokerIds: [1] }],
        configs: [{ name: 'a', value: null }],
      })),
      100,
      true,
    ],
    topics: TOPICS,
    errors: [29],
  },
  {
    name: 'deleteTopics',
    args: () => [TOPICS.map(name => ({ name })), 100],
    topics: TOPICS,
    errors: [29],
  },
  { name: 'deleteRecords', args: () => [topics, 100], topics: TOPICS, errors: [29] },
  { name: 'initProducerId', args: () => [null, 1000, 1n, 1], topics: [], errors: [31] },
  { name: 'initProducerId', args: () => ['t', 1000, 1n, 1], topics: [], errors: [53] },
  { name: 'offsetForLeaderEpoch', args: () => [-1, topics], topics: TOPICS, errors: [29] },
  { name: 'addPartitionsToTxn', args: () => [[transaction]], topics: TOPICS, errors: [29] },
  { name: 'addOffsetsToTxn', args: () => ['t', 1n, 1, 'g'], topics: [], errors: [53] },
  { name: 'endTxn', args: () => ['t', 1n, 1, true], topics: [], errors: [53] },
  { name: 'txnOffsetCommit', args: () => ['t', 'g', 1n, 1, 1, 'm', 'i', topics], topics: TOPICS, errors: [29] },
  { name: 'describeAcls', args: () => [acl], topics: [], errors: [31] },
  { name: 'createAcls', args: () => [[acl, acl]], topics: [], errors: [31] },
  { name: 'deleteAcls', args: () => [[acl]], topics: [], errors: [31] },
  { name: 'describeConfigs', args: () => [resources, true, true], topics: TOPICS, errors: [29] },
  { name: 'describeConfigs', args: () => [[{ ...resources[0], resourceType: 4 }], true, true], errors: [31] },
  { name: 'alterConfigs', args: () => [resources, true], topics: TOPICS, errors: [29] },
  { name: 'saslAuthenticate', args: () => [Buffer.from('x')], topics: [], errors: [31] },
  {
    name: 'createPartitions',
    args: () => [TOPICS.map(name => ({ name, count: 2, assignments: [{ brokerIds: [1] }] })), 100, true],
    topics: TOPICS,
    errors: [29],
  },
  { name: 'deleteGroups', args: () => [['g']], topics: [], errors: [30] },
  { name: 'incrementalAlterConfigs', args: () => [resources, true], topics: TOPICS, errors: [29] },
  { name: 'alterReplicaLogDirs', args: () => [[{ path: '/d', topics: named }]], topics: TOPICS, errors: [29] },
  { name: 'describeLogDirs', args: () => [named], topics: TOPICS, errors: [31] },
  { name: 'describeLogDirs', args: () => [null], errors: [31] },
  {
    name: 'alterPartitionReassignments',
    args: () => [100, true, TOPICS.map(name => ({ name, partitions: [{ partitionIndex: 0, replicas: [1] }] }))],
    topics: TOPICS,
    errors: [29],
  },
  { name: 'listPartitionReassignments', args: () => [100, named], topics: TOPICS, errors: [31] },
  { name: 'listPartitionReassignments', args: () => [100, null], errors: [31] },
  { name: 'describeCluster', args: () => [true, 1], topics: [], errors: [31] },
  { name: 'describeProducers', args: () => [named], topics: TOPICS, errors: [29] },
  { name: 'offsetDelete', args: () => ['g', topics], topics: TOPICS, errors: [29] },
]

for (const kind of KINDS)
  test(`${kind.name} of a client is understood, and its denial by the client: ${JSON.stringify(kind.topics)}`, () => {
    const [api] = [...KAFKA_APIS.values()].filter(each => each.key === keyOf(kind))
    assert.ok(api)
    for (let version = api.versions[0]; version <= api.versions[1]; version++) {
      const where = `${kind.name} ${version}`
      const sent = clientRequest(kind.name, version, kind.args(version))
      assert.equal(sent === undefined, kind.without?.includes(version) ?? false, `${where}: does the client have it?`)
      if (!sent || kind.mistaken?.[version]) continue
      const request = parseRequest(sent.bytes)
      assert.ok('topics' in request, `${where}: ${inspect(request)}`)
      assert.deepEqual(request.topics, kind.topics, where)
      const header = { apiKey: sent.apiKey, apiVersion: version, correlationId: CORRELATION_ID, clientId: CLIENT_ID }
      assert.deepEqual(request.header, header, where)
      assert.deepEqual(errorsOf(request, sent), kind.errors, `${where}: errors of the denial`)
    }
  })

/** Different error codes that the client finds in our denial. */
function errorsOf(request: KafkaRequest, sent: ClientRequest): readonly number[] {
  const denial = writeDenial(request)
  assert.ok(denial)
  try {
    sent.parse(denial.subarray(4))
    return []
  } catch (error) {
    if (!(error instanceof ResponseError)) throw error
    return [...new Set(error.errors.map(each => (each as { apiCode?: number }).apiCode ?? Number.NaN))]
  }
}

function keyOf(kind: Kind): number {
  for (let version = 0; version < 20; version++) {
    const sent = clientRequest(kind.name, version, kind.args(version))
    if (sent) return sent.apiKey
  }
  throw new Error(`the client has no ${kind.name}`)
}

test('a Produce that wants no answer is known as such', () => {
  for (const [acks, want] of [
    [0, false],
    [1, true],
    [-1, true],
  ] as const) {
    const request = parseRequest(clientRequest('produce', 9, [acks, 1, messages, {}])?.bytes ?? Buffer.alloc(0))
    assert.ok('api' in request)
    assert.equal(request.api.answered?.(request.body), want)
  }
})

test('an answer that allows is read by the client as it was meant', () => {
  const sent = clientRequest('findCoordinator', 3, [0, ['g']])
  const api = KAFKA_APIS.get(10)
  assert.ok(sent && api)
  const values = { nodeId: 5, host: 'broker', port: 9092 }
  const answer = writeAnswer(api, { apiVersion: 3, correlationId: CORRELATION_ID }, values)
  const parsed = sent.parse(answer.subarray(4)) as { coordinators: { nodeId: number; host: string; port: number }[] }
  assert.deepEqual(JSON.parse(JSON.stringify(parsed.coordinators[0])).host, 'broker')
})

/** No client here has it. */
const ELECT_LEADERS = 43

test('no other kind that has an answer of denial is left out here', () => {
  const tried = new Set(KINDS.map(keyOf))
  const left = [...KAFKA_APIS.values()].filter(api => api.deny && !tried.has(api.key) && api.key !== ELECT_LEADERS)
  assert.deepEqual(
    left.map(({ name }) => name),
    [],
  )
})
