// Names of Kafka's requests that policies may allow (kafka.apache.org/protocol#protocol_api_keys),
// in lower case, and what the roles of Cilium's rules stand for (pkg/policy/api/kafka.go).

/** The place of a name is its number in the protocol. */
export const KAFKA_API_KEYS: readonly string[] = [
  'produce',
  'fetch',
  'offsets',
  'metadata',
  'leaderandisr',
  'stopreplica',
  'updatemetadata',
  'controlledshutdown',
  'offsetcommit',
  'offsetfetch',
  'findcoordinator',
  'joingroup',
  'heartbeat',
  'leavegroup',
  'syncgroup',
  'describegroups',
  'listgroups',
  'saslhandshake',
  'apiversions',
  'createtopics',
  'deletetopics',
  'deleterecords',
  'initproducerid',
  'offsetforleaderepoch',
  'addpartitionstotxn',
  'addoffsetstotxn',
  'endtxn',
  'writetxnmarkers',
  'txnoffsetcommit',
  'describeacls',
  'createacls',
  'deleteacls',
  'describeconfigs',
  'alterconfigs',
]

const numberOf = (name: string): number => KAFKA_API_KEYS.indexOf(name)

/** The number of a name in either case; of a name of the schema. */
export const kafkaApiKey = (name: string): number => numberOf(name.toLowerCase())

/** What who produces or consumes must be able to ask for. */
export const KAFKA_ROLE_KEYS: Readonly<Record<'produce' | 'consume', readonly number[]>> = {
  produce: ['produce', 'metadata', 'apiversions'].map(numberOf),
  consume: [
    'fetch',
    'offsets',
    'metadata',
    'offsetcommit',
    'offsetfetch',
    'findcoordinator',
    'joingroup',
    'heartbeat',
    'leavegroup',
    'syncgroup',
    'apiversions',
  ].map(numberOf),
}
