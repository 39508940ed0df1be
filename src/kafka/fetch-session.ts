// Sessions of Fetch (KIP-227): after a first request with all topics, later ones name
// only what has changed, so what they are about cannot be judged. No session is let come
// about: each Fetch is made to say that it neither has nor wants one, and brokers then
// answer with no session, which keeps clients naming their topics each time.

import { FETCH } from './catalogue.ts'
import type { KafkaRequest } from './request.ts'

/** First version with sessions. */
const SESSIONS_FROM = 7
/** replica id, max wait, min bytes, max bytes (4 each), isolation level (1). */
const SESSION_OFFSET = 17

/** Whether a Fetch relies on topics that an earlier one named. */
export function continuesSession({ api, header, body }: KafkaRequest): boolean {
  return api.key === FETCH && header.apiVersion >= SESSIONS_FROM && Number(body['sessionEpoch']) > 0
}

/**
 * Where in the request, from the start of its header, what stands about sessions is to be written over.
 * @returns undefined for requests that have nothing about sessions
 */
export function withoutSession(
  request: KafkaRequest,
): { readonly offset: number; readonly bytes: Uint8Array } | undefined {
  if (request.api.key !== FETCH || request.header.apiVersion < SESSIONS_FROM) return undefined
  // Session 0, epoch -1.
  return { offset: request.bodyOffset + SESSION_OFFSET, bytes: new Uint8Array([0, 0, 0, 0, 255, 255, 255, 255]) }
}
