// Rules about HTTP requests: judged here, for explanations and as the measure of what
// HAProxy does, and made into the maps that HAProxy judges by. Pure.

export type { SecretValue } from './compiled-rule.ts'
export * from './entries.ts'
export * from './match.ts'
export * from './request.ts'
