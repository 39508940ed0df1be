// What an agent is told of services: taken, or refused with the name of the option.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigurationError } from './configuration-error.ts'
import { type ServiceOptions, serviceSettings } from './service-configuration.ts'

const ADDRESSES = ['172.30.0.2', '192.0.2.7', 'fd00:172:30::2']

test('what is given is taken; node ports are on the node addresses in the ranges', () => {
  assert.deepEqual(
    serviceSettings(
      {
        serviceAlgorithm: 'maglev',
        maglevTableSize: 65521,
        serviceForwarding: 'dsr',
        nodePortAddress: ['172.30.0.0/16', '::/0'],
        externalIpRange: ['192.0.2.0/24'],
        clusterIpsFromOutside: true,
      },
      ADDRESSES,
    ),
    {
      algorithm: 'maglev',
      maglevTableSize: 65521,
      forwarding: 'dsr',
      nodePortAddresses: ['172.30.0.2', 'fd00:172:30::2'],
      externalIpRanges: ['192.0.2.0/24'],
      clusterIpsFromOutside: true,
    },
  )
  assert.deepEqual(serviceSettings({}, ADDRESSES).nodePortAddresses, ADDRESSES)
  assert.deepEqual(serviceSettings({ nodePortAddress: ['127.0.0.0/8'] }, ADDRESSES).nodePortAddresses, [])
})

const REFUSED: readonly { readonly options: ServiceOptions; readonly message: RegExp }[] = [
  { options: { serviceAlgorithm: 'fair' }, message: /^--service-algorithm fair is not one of random, maglev$/ },
  { options: { serviceForwarding: 'ipip' }, message: /^--service-forwarding ipip is not one of snat, dsr$/ },
  { options: { maglevTableSize: 1000 }, message: /^--maglev-table-size 1000 is not one of 251, 509, .*131071$/ },
  { options: { externalIpRange: ['none'] }, message: /^--external-ip-range none is not a prefix/ },
  { options: { nodePortAddress: ['172.30.0.2'] }, message: /^--node-port-address 172\.30\.0\.2 is not a prefix/ },
]

for (const { options, message } of REFUSED)
  test(`refused: ${JSON.stringify(options)}`, () => {
    assert.throws(
      () => serviceSettings(options, ADDRESSES),
      (error: unknown) => error instanceof ConfigurationError && message.test(error.message),
    )
  })
