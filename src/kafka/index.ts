// Kafka's protocol as far as policy needs it: requests in, verdicts and denials out.
// Pure: no I/O, no clock.

export { denialCode, writeDenial, writeUnknownSession, writeUnsupportedApiVersions } from './answer.ts'
export { KAFKA_ERROR } from './api.ts'
export { capApiVersions } from './api-versions.ts'
export { API_VERSIONS } from './catalogue.ts'
export { continuesSession, withoutSession } from './fetch-session.ts'
export { type KafkaVerdict, matchKafka } from './match.ts'
export { cutMetadata, type MetadataCut } from './metadata.ts'
export { type KafkaRequest, type Refusal, type RequestHeader, RequestReader } from './request.ts'
