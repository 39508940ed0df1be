// What the node's proxy may be told about its DNS server.

/** Codes of answers to questions that no rule allows: some resolvers stop at REFUSED, others at a name that is not there. */
export const DNS_REJECTIONS = ['refused', 'nameError'] as const

export type DnsOptions = {
  readonly rejectWith: (typeof DNS_REJECTIONS)[number]
  /** How long an answer waits for the agent at most. Resolvers ask again after 5 seconds. */
  readonly teachWaitMs: number
}

export const DNS_DEFAULTS: DnsOptions = { rejectWith: 'refused', teachWaitMs: 1_000 }
