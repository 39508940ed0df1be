// Kafka's protocol as far as policy needs it: requests in, verdicts and denials out.
// Pure: no I/O, no clock.

export { denialCode, writeAnswer, writeDenial, writeUnknownSession, writeUnsupportedApiVersions } from './answer.ts'
export { capApiVersions } from './api-versions.ts'
export { API_VERSIONS, KAFKA_APIS, PRODUCE } from './catalogue.ts'
export { continuesSession, withoutSession } from './fetch-session.ts'
export { type KafkaVerdict, matchKafka } from './match.ts'
export { type KafkaRequest, parseRequest, type Refusal, type RequestHeader, RequestReader } from './request.ts'
