// What the DNS server of `axoneme proxy` and the agent say to each other, declared once:
// the server tells what answers teach, and the agent answers when that is in force, and
// for which names it matters. JSON on the agent's unix socket.

import { z } from 'zod'

/** A name or a pattern as rules have them: in lower case, with the last dot. `*.` alone: every name. */
export type NamePattern = { readonly name: string } | { readonly pattern: string }

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
    .max(4096)
    .readonly(),
  /** Address of the pod that asked. */
  client: z.string().max(45),
  /** Address of the server that answered. */
  server: z.string().max(45),
  /** When it answered: microseconds since the Unix epoch. */
  timeMicros: z.int(),
})

export type TaughtName = z.infer<typeof taughtName>

/**
 * `POST /v1/names` of the agent: whatever is news is told, also of names that no selector means yet, so that a selector
 * that comes later knows them. Answered with 200 when all of it is in force in the kernel, where it stays for at least the
 * TTL from `timeMicros` on; until then answers that selectors mean are not passed on to those who asked. Without names it
 * asks for the selectors alone.
 */
export const taughtNames = z.strictObject({
  names: z.array(taughtName).max(1000).readonly(),
  /** Of the selectors that the server knows; absent when it knows none. */
  selectorsRevision: z.string().max(100).optional(),
})

export type TaughtNames = z.infer<typeof taughtNames>

export const namesAnswer = z.object({
  /** Another one whenever the selectors are not the same, also over a restart of the agent. */
  selectorsRevision: z.string(),
  /** Names and patterns whose answers are to be held until they are in force; absent where the revision is the one asked with. */
  selectors: z.array(z.string().min(1).max(255)).readonly().optional(),
})

export type NamesAnswer = z.infer<typeof namesAnswer>
