// Events of proxies for tests: of one request that was allowed, with changes.

import type { L7Content, L7Event } from '../../tables/index.ts'

type HttpContent = Extract<L7Content, { readonly parser: 'http' }>

export const httpContent = (more: Partial<HttpContent> = {}): HttpContent => ({
  parser: 'http',
  method: 'GET',
  path: '/products',
  host: 'shop.example',
  scheme: 'http',
  version: 'HTTP/1.1',
  status: 200,
  ...more,
})

export const l7Event = (more: Partial<L7Event> = {}): L7Event => ({
  timeMicros: 1_700_000_000_123_456,
  verdict: 'FORWARDED',
  transport: 'TCP',
  opener: { address: '10.0.0.2', port: 40_000, identity: 256 },
  responder: { address: '10.0.0.3', port: 80, identity: 257 },
  egress: { set: 0, policyRule: 1 },
  ingress: { set: 7, rule: 1, policyRule: 16 },
  latencyNs: 1_234_567,
  content: httpContent(),
  ...more,
})
