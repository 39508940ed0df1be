// What the supervisor gives HAProxy, and what it needs to know of its configuration. The
// configuration is fixed for the life of a process: what changes goes into maps, which
// the supervisor keeps, as files for the next start and by the runtime API for this one.

/** Numbers of inherited descriptors that listen, and are transparent already. */
export type ListeningDescriptors = { readonly ipv4: number; readonly ipv6: number }

/** Fetches of HAProxy that tell by what a connection is judged. */
export type KernelAnswers = {
  /** Of connections with rules in one direction or none: `PROXY_ANSWER`, or `EGRESS_ANSWER` for egress, + number of the set. */
  readonly onlySet: string
  /** `PROXY_ANSWER` + number of the rule set; anything else denies. */
  readonly egressSet: string
  readonly ingressSet: string
  readonly openerIdentity: string
  readonly responderIdentity: string
  readonly egressRule: string
  readonly ingressRule: string
  /** Number of the service that the connection was opened to; 0: none. */
  readonly service: string
}

/** Which requests of HTTP are told of. */
export const HTTP_EVENTS = ['all', 'denied'] as const
export type HttpEvents = (typeof HTTP_EVENTS)[number]

/** Files in PEM. A certificate's has its chain and its private key behind it. */
export type TlsContextFiles = {
  /** What clients are shown; with `trustedCa`, they have to show a certificate of these authorities. */
  readonly terminating?: { readonly certificate: string; readonly trustedCa?: string } | undefined
  /** Whose certificates servers may show, for the name that they are asked for; and what they are shown. */
  readonly originating?: { readonly trustedCa: string; readonly certificate?: string } | undefined
}

export type HaproxyOptions = {
  /** Without `tls`, names of servers are judged by somebody else. */
  readonly sockets: { readonly http: ListeningDescriptors; readonly tls?: ListeningDescriptors }
  /** Where TLS ends or begins on the connections of `http`; absent: nowhere. */
  readonly tlsContext?: TlsContextFiles | undefined
  /** Address for `stats socket`, level admin: the runtime API. Paths are relative to where HAProxy is started. */
  readonly runtimeSocket: string
  /** A stream socket that the supervisor serves: it takes an `L7EventLine` for each request. Without it nothing is told. */
  readonly logSocket?: string | undefined
  /** All requests unless given; else only those that are denied, fail, or are changed by a rule. */
  readonly told?: HttpEvents
  /** Headers of requests that are told: names in lower case, of letters, digits, `-` and `_`. */
  readonly toldHeaders?: readonly string[]
  /** Folder of the map files, `NAME.map`; all maps that the configuration names are there at the start, perhaps empty. */
  readonly maps: string
  /** Folder of Lua files and whatever else comes with the package. */
  readonly files: string
  /** Connections of clients at a time: see `maxConnectionsFor`. */
  readonly maxConnections: number
  /** One for each processor unless given. */
  readonly threads?: number
  /** File with the body of denials; without it the usual one. */
  readonly deniedBody?: string | undefined
  /** For tests without the programs on the proxy's control group. */
  readonly answers?: KernelAnswers | undefined
  /** The same where there are no requests. */
  readonly tlsAnswers?: KernelAnswers | undefined
}

/** One line of a map. Keys and values have no blanks; values are one line. */
export type HaproxyMapEntry = { readonly map: string; readonly key: string; readonly value: string }
