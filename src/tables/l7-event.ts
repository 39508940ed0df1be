// What a proxy tells of one request, question or connection that it has judged: who
// asked whom, by which rule sets, what was said and how it ended. No table: proxies
// write events as lines of JSON, the agent puts them in words.

/** One end of the connection, as the kernel and the proxy's socket know it. */
export type L7End = {
  /** Canonical. */
  readonly address: string
  readonly port: number
  /** 0: not known. */
  readonly identity: number
}

/** What the rules of one direction said: those of the opener's egress, or of the responder's ingress. */
export type L7Judgement = {
  /** Number of the rule set; 0: no rules in this direction, all is allowed. */
  readonly set: number
  /** Place in the set of the rule that allows it; absent: none does, or there are no rules. */
  readonly rule?: number
  /** Number of the policy rule that the kernel judged the connection by. */
  readonly policyRule: number
}

export type L7Header = { readonly name: string; readonly value: string }

/** What was said. Numbers are those of the protocol. */
export type L7Content =
  | {
      readonly parser: 'http'
      readonly method: string
      /** Path and query as they were sent. */
      readonly path: string
      /** With its port where one was sent; empty without. */
      readonly host: string
      readonly scheme: 'http' | 'https'
      /** Such as `HTTP/1.1`. */
      readonly version: string
      /** Of the answer, also of one that the proxy itself gave; absent without an answer. */
      readonly status?: number
      readonly grpcStatus?: number
      /** Those of the request that the proxy was told to tell. Names in lower case. */
      readonly headers?: readonly L7Header[]
    }
  | {
      readonly parser: 'dns'
      /** With the last dot. */
      readonly query: string
      /** Such as `A` or `TYPE65`. */
      readonly queryTypes: readonly string[]
      readonly rcode?: number
      /** Addresses of the answer, and the smallest of their TTLs. */
      readonly addresses?: readonly string[]
      readonly ttlSeconds?: number
      /** Names that the answer led through, with the last dot. */
      readonly cnames?: readonly string[]
    }
  | {
      readonly parser: 'kafka'
      readonly apiKey: number
      readonly apiVersion: number
      readonly correlationId: number
      readonly clientId?: string
      /** A request about several topics makes an event of each. */
      readonly topic?: string
      readonly errorCode?: number
    }
  | {
      readonly parser: 'tls'
      /** Empty where the client named none. */
      readonly serverName: string
    }

export type L7Event = {
  /** When it ended, or was refused: microseconds since the Unix epoch. */
  readonly timeMicros: number
  /** `AUDIT`: it went on, and rules that are only tried out would deny it. `ERROR`: could not be judged, was not well-formed, or the other side did not answer; `reason` says what. */
  readonly verdict: 'FORWARDED' | 'DROPPED' | 'AUDIT' | 'REDIRECTED' | 'ERROR'
  readonly transport: 'TCP' | 'UDP'
  readonly opener: L7End
  readonly responder: L7End
  /** Number of the service that the connection was opened to; absent: none. */
  readonly service?: number
  readonly egress: L7Judgement
  readonly ingress: L7Judgement
  /** Whose rules allow nothing of it; absent where no rule set decided. */
  readonly deniedBy?: 'egress' | 'ingress'
  /** For people: what was wrong, where no rule set says it. */
  readonly reason?: string
  /** From the last byte of the request to the first of the answer. */
  readonly latencyNs?: number
  /** Headers that were not as the rule wants and that it lets pass. Names in lower case. */
  readonly mismatchedHeaders?: readonly string[]
  readonly content: L7Content
}

/** A line of a proxy's event stream: an event, one of HAProxy's short forms of one, or how many were lost since the last line. */
export type L7EventLine =
  | L7Event
  | { readonly http: readonly (string | number)[] }
  | { readonly tls: readonly (string | number)[] }
  | { readonly missed: number }
