// Answers that the proxy itself gives: denials in the words of the protocol, and what is
// said of versions that are not let through. All with their length before them.

import { type Api, KAFKA_ERROR } from './api.ts'
import { API_VERSIONS, FETCH, KAFKA_APIS } from './catalogue.ts'
import type { KafkaRequest, RequestHeader } from './request.ts'
import { MessageWriter, writeFields } from './writer.ts'

/**
 * The answer that says: not authorised, for each topic or group where the protocol has room for that. A request is
 * denied as a whole, so topics that rules would allow are told the same.
 * @returns undefined where the protocol has no such answer: the connection is to be closed
 */
export function writeDenial(request: KafkaRequest): Uint8Array | undefined {
  const { api, header, body } = request
  const denial = api.deny?.(body, header.apiVersion)
  return denial && writeAnswer(api, header, denial)
}

/** The error code in a denial's first place that has one, for events. */
export function denialCode(request: KafkaRequest): number | undefined {
  return firstError(request.api.deny?.(request.body, request.header.apiVersion))
}

function firstError(value: unknown): number | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { errorCode } = value as { errorCode?: unknown }
  if (typeof errorCode === 'number' && errorCode !== 0) return errorCode
  for (const each of Object.values(value)) {
    const code = firstError(each)
    if (code !== undefined) return code
  }
  return undefined
}

/** Answers a Fetch of a session that is not known, so that the client names its topics again. */
export function writeUnknownSession(header: RequestHeader): Uint8Array | undefined {
  const api = KAFKA_APIS.get(FETCH)
  return api && writeAnswer(api, header, { errorCode: KAFKA_ERROR.FETCH_SESSION_ID_NOT_FOUND })
}

/** As a broker answers an ApiVersions that is newer than it: in version 0, with the versions that it has. */
export function writeUnsupportedApiVersions(header: RequestHeader): Uint8Array | undefined {
  const api = KAFKA_APIS.get(API_VERSIONS)
  const answer = {
    errorCode: KAFKA_ERROR.UNSUPPORTED_VERSION,
    keys: [{ key: API_VERSIONS, from: api?.versions[0] ?? 0, to: api?.versions[1] ?? 0 }],
  }
  return api && writeAnswer(api, { ...header, apiVersion: 0 }, answer)
}

/** Any answer of a kind of request. */
export function writeAnswer(
  api: Api,
  header: Pick<RequestHeader, 'apiVersion' | 'correlationId'>,
  values: Readonly<Record<string, unknown>>,
): Uint8Array {
  const writer = new MessageWriter()
  const flexible = header.apiVersion >= api.flexibleFrom
  writer.int32(header.correlationId)
  // Who does not know which versions there are cannot know about tags in the header either.
  if (flexible && api.key !== API_VERSIONS) writer.varint(0)
  if (api.response) writeFields(api.response, values, writer, { version: header.apiVersion, flexible })
  return writer.frame()
}
