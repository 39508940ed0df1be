// What people read of services and of why an address leads where it leads.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { explainService, readServiceQuestion, type ServiceExplanation } from '../services/index.ts'
import { backend, clusterIp, declaredService, knownService, resolvedPort, worldOf } from '../services/testing/worlds.ts'
import type { ServiceDetail } from '../tables/index.ts'
import { serviceDetailText } from './services-text.ts'
import { serviceExplanationText } from './services-why-text.ts'

const port = resolvedPort({
  affinitySeconds: 60,
  without: { cluster: 'reject', outside: 'drop' },
  frontends: [clusterIp('10.96.0.10'), { address: '198.51.100.1', port: 80, kind: 'LoadBalancer', reach: 'everybody' }],
  backends: [
    backend('10.0.0.3', 'web-1', { node: 'node1', notForOutside: 'not on this node' }),
    backend('10.0.0.4', 'web-2', {
      ready: false,
      serving: false,
      terminating: true,
      notForCluster: 'terminating',
      notForOutside: 'terminating',
    }),
  ],
})
const world = worldOf([knownService(declaredService('web', { clusterIps: ['10.96.0.10'] }), [port])])

const why = (target: string, more: Partial<ServiceExplanation> = {}): string => {
  const question = readServiceQuestion(world, { target })
  return stripVTControlCharacters(serviceExplanationText({ ...explainService(world, question), ...more }))
}

test('why: the frontend, each client, every backend', () => {
  assert.equal(
    why('198.51.100.1:80'),
    `198.51.100.1:80/TCP is a LoadBalancer of shop/web (port http, 80/TCP), there for everybody
backends are chosen by random; a client stays with its own for 60 s
backends on other nodes answer clients outside by SNAT

from pods and the node: translated in its socket, at connect and sendmsg, to the one backend that there is
from outside: dropped: there are backends, but the external traffic policy wants one of this node (NO_SERVICE)

BACKEND         POD          NODE    ZONE   STATE         WEIGHT   FOR CLUSTER                                 FOR OUTSIDE
10.0.0.3:8080   shop/web-1   node1          ready         1        yes                                         no: the traffic policy wants backends of this node
10.0.0.4:8080   shop/web-2                  terminating   1        no: it is terminating, and others are not   no: it is terminating, and others are not`,
  )
})

test('why: nothing there, and what is near', () => {
  assert.equal(
    why('10.96.0.10:443'),
    `10.96.0.10:443/TCP is no address of a service
shop/web has this address, with 80/TCP`,
  )
})

test('why: a service without an address', () => {
  const headless = worldOf([knownService(declaredService('db', { headless: true }))])
  const explanation = explainService(headless, readServiceQuestion(headless, { target: 'shop/db' }))
  assert.equal(
    stripVTControlCharacters(serviceExplanationText(explanation)),
    `shop/db has no address that stands for it
shop/db is headless: clients get the addresses of its backends from DNS, and nothing is translated`,
  )
})

test('why: the kernel has it otherwise, and a live connection', () => {
  const text = why('10.96.0.10:80', {
    kernel: {
      state: 'different',
      standing: 'failed: map full',
      differences: [{ what: 'algorithm', wanted: 'random', held: 'maglev' }],
      affinity: { client: '10.0.0.2', backend: '10.0.0.3:8080', usedSecondsAgo: 5, isInForce: true },
      connection: {
        kind: 'packet',
        source: '10.0.0.2:40000',
        sourceAfter: '172.30.0.2:50000',
        backend: '10.0.0.3:8080',
        isKnown: true,
        secondsLeft: 9,
      },
    },
  })
  assert.equal(
    text.slice(text.indexOf('THE KERNEL'), text.indexOf('\n\nfrom pods')),
    `THE KERNEL HAS IT OTHERWISE:
  the service is failed: map full
  algorithm: wanted random, in the kernel maglev
10.0.0.2 had 10.0.0.3:8080 5 s ago, and gets it again
the connection from 10.0.0.2:40000 is translated packet by packet to 10.0.0.3:8080, which sees it come from 172.30.0.2:50000, remembered for 9 s more`,
  )
})

test('one service in detail', () => {
  const detail: ServiceDetail = {
    namespace: 'shop',
    name: 'web',
    type: 'LoadBalancer',
    headless: false,
    origin: { file: 'web.yaml', line: 3 },
    clusterIps: ['10.96.0.10'],
    externalAddresses: ['198.51.100.1'],
    ports: ['80/TCP'],
    state: 'in-force',
    message: 'in force',
    since: '2026-01-01T00:00:00.000Z',
    problems: [{ severity: 'warning', message: 'spec.x: is not used', file: 'web.yaml', line: 5, column: 3 }],
    frontends: 2,
    backends: { known: 2, usable: 1 },
    declared: {
      internalTrafficPolicy: 'Cluster',
      externalTrafficPolicy: 'Local',
      affinitySeconds: 60,
      publishNotReadyAddresses: false,
      loadBalancerSourceRanges: [],
      healthCheckNodePort: 32000,
    },
    entries: [{ ...port, number: 7, backends: port.backends.map((each, id) => ({ ...each, id })) }],
  }
  assert.equal(
    stripVTControlCharacters(serviceDetailText(detail)),
    `service      shop/web
where        web.yaml:3
type         LoadBalancer
status       in force
in force     since 2026-01-01T00:00:00.000Z
cluster IP   10.96.0.10
external IP  198.51.100.1
policies     internal traffic Cluster, external traffic Local
             affinity of client addresses, 60 s
             health check on node port 32000
problems     web.yaml:5:3: warning: spec.x: is not used

http 80/TCP over IPv4, number 7: random, affinity 60 s, outside clients by SNAT, without a backend reject (of outside clients drop)
  FRONTEND          KIND           FOR
  10.96.0.10:80     ClusterIP      the cluster
  198.51.100.1:80   LoadBalancer   everybody
  BACKEND         POD          NODE    ZONE   STATE         WEIGHT   NEW CONNECTIONS
  10.0.0.3:8080   shop/web-1   node1          ready         1        of the cluster yes; of outside no: not on this node
  10.0.0.4:8080   shop/web-2                  terminating   1        no: terminating`,
  )
})
