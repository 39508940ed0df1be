// Requests about the cluster: its settings, its access lists, its replicas; and those
// that begin a connection. What brokers say to each other has no answer that denies it.

import { type Api, api, everyIndex, KAFKA_ERROR, namesOf, type Topics } from '../api.ts'
import { bool, bytes, int8, int16, int32, int64, list, nullableList, nullableText, text } from '../schema.ts'

const topicError = KAFKA_ERROR.TOPIC_AUTHORIZATION_FAILED
const errorCode = KAFKA_ERROR.CLUSTER_AUTHORIZATION_FAILED

/** Requests between brokers. Their version 0 has no client id in some cases; nobody speaks it any more. */
const betweenBrokers = (key: number, name: string, last: number): Api =>
  api({ key, name, versions: [1, last], scope: 'cluster' })

const saslHandshake = api({
  key: 17,
  name: 'saslhandshake',
  // After version 0 bytes follow that are no requests.
  versions: [1, 1],
  scope: 'client',
  response: { errorCode: int16(), mechanisms: list(text()) },
  deny: () => ({ errorCode }),
})

const apiVersions = api({
  key: 18,
  name: 'apiversions',
  versions: [0, 4],
  flexibleFrom: 3,
  scope: 'client',
  response: {
    errorCode: int16(),
    keys: list({ key: int16(), from: int16(), to: int16() }),
    throttleTimeMs: int32({ from: 1 }),
  },
  deny: () => ({ errorCode }),
})

const saslAuthenticate = api({
  key: 36,
  name: 'saslauthenticate',
  versions: [0, 2],
  flexibleFrom: 2,
  scope: 'client',
  response: {
    errorCode: int16(),
    errorMessage: nullableText(),
    token: bytes(),
    sessionLifetimeMs: int64({ from: 1 }),
  },
  deny: () => ({ errorCode }),
})

const describeAcls = api({
  key: 29,
  name: 'describeacls',
  versions: [0, 3],
  flexibleFrom: 2,
  scope: 'cluster',
  response: {
    throttleTimeMs: int32(),
    errorCode: int16(),
    errorMessage: nullableText(),
    resources: list({ type: int8() }),
  },
  deny: () => ({ errorCode }),
})

const createAcls = api({
  key: 30,
  name: 'createacls',
  versions: [0, 3],
  flexibleFrom: 2,
  scope: 'cluster',
  request: {
    creations: list({
      resourceType: int8(),
      resourceName: text(),
      patternType: int8({ from: 1 }),
      principal: text(),
      host: text(),
      operation: int8(),
      permission: int8(),
    }),
  },
  response: { throttleTimeMs: int32(), results: list({ errorCode: int16(), errorMessage: nullableText() }) },
  deny: request => ({ results: request.creations.map(() => ({ errorCode })) }),
})

const deleteAcls = api({
  key: 31,
  name: 'deleteacls',
  versions: [0, 3],
  flexibleFrom: 2,
  scope: 'cluster',
  request: {
    filters: list({
      resourceType: int8(),
      resourceName: nullableText(),
      patternType: int8({ from: 1 }),
      principal: nullableText(),
      host: nullableText(),
      operation: int8(),
      permission: int8(),
    }),
  },
  response: {
    throttleTimeMs: int32(),
    results: list({ errorCode: int16(), errorMessage: nullableText(), matching: list({ errorCode: int16() }) }),
  },
  deny: request => ({ results: request.filters.map(() => ({ errorCode })) }),
})

const RESOURCE_TOPIC = 2
type Resource = { readonly type: number; readonly name: string }

/** Settings of anything but topics are not about topics. */
const topicsOfResources = (resources: readonly Resource[]): Topics =>
  resources.every(resource => resource.type === RESOURCE_TOPIC) ? namesOf(resources) : undefined

const deniedResources = (resources: readonly Resource[]) =>
  resources.map(({ type, name }) => ({ type, name, errorCode: type === RESOURCE_TOPIC ? topicError : errorCode }))

const describeConfigs = api({
  key: 32,
  name: 'describeconfigs',
  versions: [0, 4],
  flexibleFrom: 4,
  scope: 'topics',
  request: {
    resources: list({ type: int8(), name: text(), keys: nullableList(text()) }),
    includeSynonyms: bool({ from: 1 }),
    includeDocumentation: bool({ from: 3 }),
  },
  response: {
    throttleTimeMs: int32(),
    results: list({
      errorCode: int16(),
      errorMessage: nullableText(),
      type: int8(),
      name: text(),
      configs: list({ name: text() }),
    }),
  },
  topics: request => topicsOfResources(request.resources),
  deny: request => ({ results: deniedResources(request.resources) }),
})

const configResult = { errorCode: int16(), errorMessage: nullableText(), type: int8(), name: text() }

const alterConfigs = api({
  key: 33,
  name: 'alterconfigs',
  versions: [0, 2],
  flexibleFrom: 2,
  scope: 'topics',
  request: {
    resources: list({ type: int8(), name: text(), configs: list({ name: text(), value: nullableText() }) }),
    validateOnly: bool(),
  },
  response: { throttleTimeMs: int32(), results: list(configResult) },
  topics: request => topicsOfResources(request.resources),
  deny: request => ({ results: deniedResources(request.resources) }),
})

const incrementalAlterConfigs = api({
  key: 44,
  name: 'incrementalalterconfigs',
  versions: [0, 1],
  flexibleFrom: 1,
  scope: 'topics',
  request: {
    resources: list({
      type: int8(),
      name: text(),
      configs: list({ name: text(), operation: int8(), value: nullableText() }),
    }),
    validateOnly: bool(),
  },
  response: { throttleTimeMs: int32(), results: list(configResult) },
  topics: request => topicsOfResources(request.resources),
  deny: request => ({ results: deniedResources(request.resources) }),
})

const electLeaders = api({
  key: 43,
  name: 'electleaders',
  versions: [0, 2],
  flexibleFrom: 2,
  scope: 'topics',
  request: {
    electionType: int8({ from: 1 }),
    topics: nullableList({ name: text(), indexes: list(int32()) }),
    timeoutMs: int32(),
  },
  response: {
    throttleTimeMs: int32(),
    errorCode: int16({ from: 1 }),
    topics: list({
      name: text(),
      partitions: list({ index: int32(), errorCode: int16(), errorMessage: nullableText() }),
    }),
  },
  topics: request => (request.topics ? namesOf(request.topics) : undefined),
  deny: request => ({
    errorCode: request.topics ? 0 : errorCode,
    topics: everyIndex(request.topics ?? [], topicError),
  }),
})

export const CLUSTER_APIS: readonly Api[] = [
  betweenBrokers(4, 'leaderandisr', 7),
  betweenBrokers(5, 'stopreplica', 4),
  betweenBrokers(6, 'updatemetadata', 8),
  betweenBrokers(7, 'controlledshutdown', 3),
  betweenBrokers(27, 'writetxnmarkers', 1),
  saslHandshake,
  apiVersions,
  saslAuthenticate,
  describeAcls,
  createAcls,
  deleteAcls,
  describeConfigs,
  alterConfigs,
  incrementalAlterConfigs,
  electLeaders,
]
