// The API of a node's proxy, declared once: HTTP/1.1 with JSON on its unix socket, as the
// agent's (docs/design/l7.md). What the
// proxy lets through is checked by itself.

import type { L7RuleSet } from '../policy/index.ts'

export type RuleSetsAnswer = {
  /** Another one after each start of the proxy. */
  readonly generation: string
  /** Sets that somebody cannot judge by, and so denies everything by. */
  readonly failures: readonly { readonly number: number; readonly server: string; readonly error: string }[]
}

/** Of `PUT /v1/secrets`: what of a Secret rule sets name. Nothing tells it again. */
export type SecretValueRow = {
  readonly namespace: string
  readonly name: string
  /** What a header is compared with. */
  readonly value?: string
  /** Keys that TLS contexts name, of those that are there: certificates and private keys as PEM texts. */
  readonly keys?: Readonly<Record<string, string>>
}

/** `GET /v1/rule-sets` */
export type StoredRuleSets = RuleSetsAnswer & { readonly ruleSets: readonly L7RuleSet[] }

export type ProxyServerState = {
  /** haproxy, dns, kafka, or https-N: that of a TLS context. */
  readonly name: string
  /** `idle`: nobody needs it. `waiting`: it ended and is started again after a pause. */
  readonly state: 'idle' | 'starting' | 'serving' | 'waiting' | 'stopped'
  readonly pid?: number
  readonly restarts: number
  /** How it ended last. */
  readonly lastEnd?: string
  /** It judges by all rule sets that there are. */
  readonly upToDate: boolean
  /** Changes of rule sets that were too many to wait for it; it was started again with everything. */
  readonly changesDropped?: number
  readonly counts: Readonly<Record<string, number>>
  /** Of a TLS context: which ends of TLS are here, and by which Secrets. */
  readonly tls?: string
  /** It takes no new connections, and ends with those that it has. */
  readonly drains?: boolean
}

export type ProxySocketState = {
  /** As the datapath calls it: HTTP, TLS, HTTPS, DNS or KAFKA. */
  readonly kind: string
  readonly family: 4 | 6
  readonly protocol: 'TCP' | 'UDP'
  readonly port: number
}

export type ProxyStatus = {
  readonly version: string
  readonly pid: number
  readonly startedAt: string
  readonly generation: string
  /** The datapath sends connections here, and every server that is needed judges by all rule sets. */
  readonly ready: boolean
  /** What it waits for, in words; absent while all is well. */
  readonly waitsFor?: string
  readonly ruleSets: { readonly sets: number; readonly rules: number; readonly failed: RuleSetsAnswer['failures'] }
  readonly servers: readonly ProxyServerState[]
  readonly sockets: readonly ProxySocketState[]
  readonly events: {
    /** Which requests of HTTP are told of: `all`, or `denied`, with those that failed or were changed. */
    readonly http: string
    readonly received: number
    /** Because nobody took them in time. */
    readonly lost: number
    readonly perSecond: number
    readonly waitingBytes: number
    readonly followers: number
  }
  readonly memoryBytes: number
}
