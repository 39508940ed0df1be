// The kinds of requests that are understood, by their number. What is not here, or in
// another version, is never let through where rules restrict.

import type { Api } from './api.ts'
import { CLUSTER_APIS } from './apis/cluster.ts'
import { GROUP_APIS } from './apis/groups.ts'
import { RECORD_APIS } from './apis/records.ts'
import { REPLICA_APIS } from './apis/replicas.ts'
import { TOPIC_APIS } from './apis/topics.ts'
import { TRANSACTION_APIS } from './apis/transactions.ts'

export const KAFKA_APIS: ReadonlyMap<number, Api> = new Map(
  [...RECORD_APIS, ...TOPIC_APIS, ...GROUP_APIS, ...TRANSACTION_APIS, ...CLUSTER_APIS, ...REPLICA_APIS].map(api => [
    api.key,
    api,
  ]),
)

export const FETCH = 1
export const METADATA = 3
export const API_VERSIONS = 18
