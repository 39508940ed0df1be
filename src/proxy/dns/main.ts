// The process that serves DNS for `axoneme proxy`.

import { CHILD_DESCRIPTORS, serveAsChild } from '../child.ts'
import { KnownFlows } from '../known-flows.ts'
import { serveDns } from './server.ts'

serveAsChild(({ bpf, agentSocket, dns }, emit) =>
  serveDns(CHILD_DESCRIPTORS, { ...dns, agentSocket, bpf, emit, flows: KnownFlows.open(bpf, 'DNS') }),
)
