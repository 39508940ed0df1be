// Names of Kafka's requests that policies may allow (kafka.apache.org/protocol#protocol_api_keys),
// in lower case, and what the roles of Cilium's rules stand for (pkg/policy/api/kafka.go),
// with what clients need that are younger than those rules.

/** The place of a name is its number in the protocol. These are Cilium's. */
const FIRST_KEYS: readonly string[] = [
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

/** Numbers by name. Of the later ones those that proxies let through. */
export const KAFKA_API_KEYS: ReadonlyMap<string, number> = new Map([
  ...FIRST_KEYS.map((name, number) => [name, number] as const),
  ['alterreplicalogdirs', 34],
  ['describelogdirs', 35],
  ['saslauthenticate', 36],
  ['createpartitions', 37],
  ['deletegroups', 42],
  ['electleaders', 43],
  ['incrementalalterconfigs', 44],
  ['alterpartitionreassignments', 45],
  ['listpartitionreassignments', 46],
  ['offsetdelete', 47],
  ['describecluster', 60],
  ['describeproducers', 61],
])

const numberOf = (name: string): number => KAFKA_API_KEYS.get(name) ?? -1

/** Who may do anything at all may say who it is. */
const LOGIN = ['saslhandshake', 'saslauthenticate']

/** The number of a name in either case; of a name of the schema. */
export const kafkaApiKey = (name: string): number => numberOf(name.toLowerCase())

/** What who produces or consumes must be able to ask for. */
export const KAFKA_ROLE_KEYS: Readonly<Record<'produce' | 'consume', readonly number[]>> = {
  // Producers of today number their records, so that none is kept twice: the broker gives them a number first.
  produce: ['produce', 'metadata', 'apiversions', 'initproducerid', ...LOGIN].map(numberOf),
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
    ...LOGIN,
  ].map(numberOf),
}
