// What the DNS server of `axoneme proxy` and the agent say to each other, declared once:
// the agent says for which names addresses matter to it, the server says what answers
// teach, and the agent answers when that is in force. JSON on unix sockets.

import { z } from 'zod'

/** A name or a pattern as rules have them: in lower case, with the last dot. `*.` alone: every name. */
export const namePattern = z.union([
  z.strictObject({ name: z.string().min(1).max(255) }),
  z.strictObject({ pattern: z.string().min(1).max(255) }),
])

export type NamePattern = z.infer<typeof namePattern>

/** `PUT /v1/names-selectors` of the proxy, as a whole: answers for these names are told to the agent before they are passed on. */
export const nameSelectors = z.strictObject({ selectors: z.array(namePattern).max(100_000) })

export type NameSelectors = z.infer<typeof nameSelectors>

/** Addresses that an answer gave for a name, itself or through the names that it leads to. */
export const taughtName = z.strictObject({
  /** That was asked for: in lower case, with the last dot. */
  name: z.string().min(1).max(1100),
  addresses: z
    .array(
      z.strictObject({
        /** Canonical. */
        address: z.string().max(45),
        /** The smallest of the address record and of the names that led to it. */
        ttlSeconds: z.int().min(0).max(0x7fffffff),
      }),
    )
    .min(1)
    .max(4096),
  /** Address of the pod that asked. */
  client: z.string().max(45),
  /** Address of the server that answered. */
  server: z.string().max(45),
  /** When it answered: microseconds since the Unix epoch. */
  timeMicros: z.int(),
})

export type TaughtName = z.infer<typeof taughtName>

/**
 * `POST /v1/names` of the agent. Answered with 200 and `{}` when all of it is in force in the kernel, and stays so for at
 * least the TTL from `timeMicros` on: until then the answers for names that are news are not passed to those who asked.
 */
export const taughtNames = z.strictObject({ names: z.array(taughtName).min(1).max(1000) })

export type TaughtNames = z.infer<typeof taughtNames>
