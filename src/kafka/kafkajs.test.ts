// The oldest versions, as kafkajs encodes them, and our denials as it decodes them.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { writeDenial } from './answer.ts'
import { parseRequest } from './request.ts'

type Encoded = { readonly buffer: Buffer; toBuffer?(): Buffer }
type Request = { readonly apiVersion: number }
const require = createRequire(import.meta.url)
const encode = require('kafkajs/src/protocol/request') as (request: {
  correlationId: number
  clientId: string
  request: Request
}) => Promise<Encoded>

const partition = { partition: 3, offset: '5', timestamp: '1', fetchOffset: '0', maxBytes: 10, metadata: 'm' }
const messages = [{ key: null, value: 'x', timestamp: 1, headers: {} }]
const topics = [{ topic: 'orders', partitions: [{ ...partition, firstSequence: 0, messages }] }]
const group = { groupId: 'g', groupGenerationId: 1, memberId: 'm', retentionTime: '1' }
const fetching = { replicaId: -1, maxWaitTime: 1, minBytes: 1, maxBytes: 9, isolationLevel: 1, rackId: 'r' }
const configs = [{ name: 'a', value: 'b' }]
const transaction = { transactionalId: 't', producerId: '1', producerEpoch: 0 }

const KINDS: readonly { name: string; versions: readonly [number, number]; args: Record<string, unknown> }[] = [
  { name: 'produce', versions: [0, 7], args: { acks: -1, timeout: 1, topicData: topics, ...transaction } },
  { name: 'fetch', versions: [0, 11], args: { ...fetching, topics } },
  { name: 'listOffsets', versions: [0, 3], args: { replicaId: -1, isolationLevel: 0, topics } },
  { name: 'metadata', versions: [0, 6], args: { topics: ['orders'] } },
  { name: 'offsetCommit', versions: [0, 5], args: { ...group, topics } },
  { name: 'offsetFetch', versions: [1, 4], args: { groupId: 'g', topics } },
  {
    name: 'createTopics',
    versions: [0, 3],
    args: { topics: [{ topic: 'orders', numPartitions: 1, replicationFactor: 1, configEntries: configs }] },
  },
  { name: 'deleteTopics', versions: [0, 1], args: { topics: ['orders'], timeout: 1 } },
  { name: 'createPartitions', versions: [0, 1], args: { topicPartitions: [{ topic: 'orders', count: 2 }] } },
  { name: 'describeConfigs', versions: [0, 2], args: { resources: [{ type: 2, name: 'orders' }] } },
  {
    name: 'alterConfigs',
    versions: [0, 1],
    args: { resources: [{ type: 2, name: 'orders', configEntries: configs }] },
  },
  {
    name: 'addPartitionsToTxn',
    versions: [0, 1],
    args: { ...transaction, topics: [{ topic: 'orders', partitions: [1] }] },
  },
  { name: 'txnOffsetCommit', versions: [0, 1], args: { ...transaction, groupId: 'g', topics } },
]

for (const { name, versions, args } of KINDS)
  test(`${name} of kafkajs is understood, and its denial by it`, async () => {
    for (let version = versions[0]; version <= versions[1]; version++) {
      const folder = `kafkajs/src/protocol/requests/${name}/v${version}`
      const make = require(`${folder}/request`) as (args: Record<string, unknown>) => Request
      const response = require(`${folder}/response`) as { decode(bytes: Buffer): Promise<unknown> }
      const encoded = await encode({ correlationId: 7, clientId: 'cli', request: make(args) })
      const request = parseRequest(encoded.buffer.subarray(4))
      assert.ok('topics' in request, `${name} ${version}: ${inspect(request)}`)
      assert.deepEqual(
        [request.topics, request.header.clientId, request.header.apiVersion],
        [['orders'], 'cli', version],
      )
      const denial = writeDenial(request)
      assert.ok(denial)
      const decoded = JSON.stringify(await response.decode(Buffer.from(denial.subarray(8))))
      assert.match(decoded, /"orders"/, `${name} ${version}`)
      assert.match(decoded, /rrorCode":29/, `${name} ${version}`)
    }
  })
