// An agent without a datapath, for tests of the sandbox alone: gives every endpoint a veth pair, an address of each
// family and a route, and drops with policy routing what it is told to (POST /v1/denied). Takes the flags that the sandbox
// gives an agent.

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import type { EndpointRequest } from '../../src/api/schema.ts'
import { ApiError, serveApi } from '../../src/api/server.ts'
import {
  addAddress,
  addRoute,
  createLink,
  deleteLink,
  Namespace,
  NetlinkSocket,
  setLink,
  writeSysctl,
} from '../../src/net/index.ts'

const { values } = parseArgs({
  options: {
    node: { type: 'string' },
    socket: { type: 'string', default: '' },
    bpf: { type: 'string' },
    objects: { type: 'string', default: '' },
    'pod-cidr': { type: 'string', multiple: true },
    'node-address': { type: 'string', multiple: true },
    'service-cgroup': { type: 'string' },
    proxy: { type: 'string' },
  },
})

const FIRST_INDEX = 1000
const stateFile = path.join(path.dirname(values.socket), 'stub.json')

type Endpoint = { readonly id: number; readonly addresses: readonly string[]; readonly mac: string }
const endpoints = new Map<string, Endpoint>(
  fs.existsSync(stateFile) ? JSON.parse(fs.readFileSync(stateFile, 'utf8')) : [],
)
const socket = NetlinkSocket.open()
const startedAt = new Date().toISOString()

// A pod whose name begins so never gets an endpoint. A test makes this file to see what the sandbox does while an agent refuses every endpoint.
const refuses = (): boolean => fs.existsSync(path.join(path.dirname(values.socket), 'refuse'))

function add(body: unknown): Endpoint {
  const { containerId, netns, interface: name, pod: owner } = body as EndpointRequest
  if (refuses() || owner.name.startsWith('refused')) throw new ApiError(503, 'NOT_READY', 'told to refuse')
  const id = Math.max(9, ...[...endpoints.values()].map(endpoint => endpoint.id)) + 1
  const index = FIRST_INDEX + id
  const addresses = [`10.244.0.${id}`, `fd00:10:244::${id.toString(16)}`]
  const pod = Namespace.open(netns)
  socket.run(
    createLink({ kind: 'veth', name: `pod${id}`, index, up: true, peer: { name, index: 100, namespace: pod } }),
    ...addresses.map(address => addRoute({ destination: `${address}/${address.includes(':') ? 128 : 32}`, index })),
  )
  writeSysctl({ fd: Namespace.current().fd }, `net/ipv4/conf/pod${id}/proxy_arp`, 1)
  const inside = NetlinkSocket.open({ namespace: pod })
  inside.run(
    setLink({ name: 'lo' }, { up: true }),
    setLink({ index: 100 }, { up: true }),
    ...addresses.map(address => addAddress({ index: 100, address, noDad: address.includes(':') })),
  )
  // The gateways are the node's own: it answers for them on every pod's device.
  socket.run(
    addAddress({ index, address: '169.254.1.1', noPrefixRoute: true, scope: 'link' }),
    addAddress({ index, address: 'fe80::1', prefixLength: 64, noDad: true }),
  )
  inside.run(
    addRoute({ destination: '169.254.1.1/32', index: 100, scope: 'link' }),
    addRoute({ destination: '0.0.0.0/0', index: 100, gateway: '169.254.1.1' }),
    addRoute({ destination: '::/0', index: 100, gateway: 'fe80::1' }),
  )
  inside.close()
  pod.close()
  const endpoint = { id, addresses, mac: '02:00:00:00:00:01' }
  endpoints.set(containerId, endpoint)
  save()
  return endpoint
}

function remove(containerId: string): void {
  const endpoint = endpoints.get(containerId)
  if (!endpoint) return
  socket.attempt([deleteLink({ name: `pod${endpoint.id}` })])
  endpoints.delete(containerId)
  save()
}

const save = (): void => fs.writeFileSync(stateFile, JSON.stringify([...endpoints]))

/** Silently drops packets from one address to another's port, on their way through the node. */
function deny(body: unknown): void {
  const { from, to, protocol, port } = body as { from: string; to: string; protocol: string; port: number }
  const family = from.includes(':') ? '-6' : '-4'
  const match = ['from', from, 'to', to, 'ipproto', protocol, 'dport', String(port)]
  execFileSync('ip', [family, 'rule', 'add', 'pref', '10', ...match, 'blackhole'])
}

await serveApi(values.socket, [
  { method: 'POST', path: /\/v1\/endpoints/, answer: ({ body }) => add(body) },
  { method: 'DELETE', path: /\/v1\/endpoints\/([^/]+)/, answer: ({ parameters: [id = ''] }) => remove(id) },
  { method: 'POST', path: /\/v1\/denied/, answer: ({ body }) => deny(body) },
  {
    method: 'GET',
    path: /\/v1\/status/,
    answer: () => ({ node: values.node, pid: process.pid, startedAt, ready: true, endpoints: endpoints.size }),
  },
])
