// What an agent is told at its start: made whole and canonical, or refused with the
// name of the option.

import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { DEFAULT_REDACTION } from '../observe/index.ts'
import { type AgentOptions, agentConfiguration } from './configuration.ts'
import { ConfigurationError } from './configuration-error.ts'

const OPTIONS: AgentOptions = {
  node: 'node1',
  socket: '/run/axoneme/agent.sock',
  bpf: '/sys/fs/bpf/axoneme',
  objects: [],
  podCidr: ['10.244.0.0/24'],
  nodeAddress: [],
}

test('what is left out has a default, paths are absolute, addresses canonical', () => {
  assert.deepEqual(
    agentConfiguration({
      ...OPTIONS,
      objects: ['manifests', '/etc/axoneme'],
      podCidr: ['10.244.0.0/24', 'FD00:10:244:0::/64'],
      nodeAddress: ['172.30.0.2', 'FD00:172:30:0::2'],
    }),
    {
      node: 'node1',
      socket: '/run/axoneme/agent.sock',
      bpf: '/sys/fs/bpf/axoneme',
      state: '/run/axoneme',
      objects: [path.resolve('manifests'), '/etc/axoneme'],
      podCidrs: ['10.244.0.0/24', 'fd00:10:244::/64'],
      nodeAddresses: ['172.30.0.2', 'fd00:172:30::2'],
      mtu: 1500,
      names: { minimumTtlSeconds: 0, addressesPerName: 1000 },
      devices: [],
      xdp: 'off',
      podTranslation: 'socket',
      policyEnforcement: 'default',
      flowEvents: true,
      redaction: DEFAULT_REDACTION,
      services: {
        algorithm: 'random',
        forwarding: 'snat',
        maglevTableSize: 16381,
        nodePortAddresses: ['172.30.0.2', 'fd00:172:30::2'],
        externalIpRanges: [],
        clusterIpsFromOutside: false,
      },
    },
  )
})

test('what is given is taken', () => {
  const { state, mtu, devices, xdp, policyEnforcement, flowEvents } = agentConfiguration({
    ...OPTIONS,
    state: '/var/lib/axoneme',
    mtu: 9000,
    device: ['eth0', 'eth1', 'eth0'],
    xdp: 'native',
    policyEnforcement: 'always',
    flowEvents: false,
  })
  assert.deepEqual(
    { state, mtu, devices, xdp, policyEnforcement, flowEvents },
    {
      state: '/var/lib/axoneme',
      mtu: 9000,
      devices: ['eth0', 'eth1'],
      xdp: 'native',
      policyEnforcement: 'always',
      flowEvents: false,
    },
  )
})

const refused: readonly { readonly name: string; readonly given: Partial<AgentOptions>; readonly says: RegExp }[] = [
  { name: 'a device name that is none', given: { device: ['eth0/1'] }, says: /^--device eth0\/1 cannot be the name/ },
  { name: 'an XDP mode that is none', given: { xdp: 'fast' }, says: /^--xdp fast is not one of off, generic, native/ },
  { name: 'no range', given: { podCidr: [] }, says: /^--pod-cidr is needed/ },
  {
    name: 'a range that is none',
    given: { podCidr: ['10.244.0.0/33'] },
    says: /^--pod-cidr 10\.244\.0\.0\/33 is not a prefix/,
  },
  {
    name: 'an address as a range',
    given: { podCidr: ['10.244.0.0'] },
    says: /^--pod-cidr 10\.244\.0\.0 is not a prefix/,
  },
  {
    name: 'an address in a range',
    given: { podCidr: ['10.244.0.7/24'] },
    says: /^--pod-cidr .* is 10\.244\.0\.0\/24 meant\?$/,
  },
  {
    name: 'a range without room',
    given: { podCidr: ['10.244.0.0/31'] },
    says: /^--pod-cidr .* has no address for a pod$/,
  },
  {
    name: 'two ranges of a family',
    given: { podCidr: ['10.1.0.0/24', 'fd00::/64', '10.2.0.0/24'] },
    says: /^--pod-cidr 10\.2\.0\.0\/24: /,
  },
  {
    name: 'a node address that is none',
    given: { nodeAddress: ['172.30.0.256'] },
    says: /^--node-address 172\.30\.0\.256 /,
  },
  { name: 'an MTU too small for IPv6', given: { mtu: 1279 }, says: /^--mtu 1279 / },
  { name: 'an MTU that no device has', given: { mtu: 65_536 }, says: /^--mtu 65536 / },
  {
    name: 'an enforcement mode that is none',
    given: { policyEnforcement: 'sometimes' },
    says: /^--policy-enforcement sometimes is not one of default, always, never$/,
  },
  { name: 'an MTU that is no whole number', given: { mtu: 1500.5 }, says: /^--mtu 1500\.5 / },
  {
    name: 'a redaction that there is not',
    given: { redact: ['http.body'] },
    says: /^--redact http\.body is not one of http\.url\.query, /,
  },
  {
    name: 'a place of translation that there is not',
    given: { podTranslation: 'kernel' },
    says: /^--pod-translation kernel is not one of socket, packet$/,
  },
]

for (const { name, given, says } of refused)
  test(`refused: ${name}`, () => {
    assert.throws(
      () => agentConfiguration({ ...OPTIONS, ...given }),
      (error: unknown) => error instanceof ConfigurationError && says.test(error.message),
    )
  })
