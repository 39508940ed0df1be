// Flows: from records of the kernel and of proxies to words, and their stream.

export * from './boot-clock.ts'
export * from './describe.ts'
export * from './describe-request.ts'
export * from './flow.ts'
export * from './flow-filter.ts'
export * from './flow-line.ts'
export * from './in-time-order.ts'
export * from './kernel-services.ts'
export * from './observer.ts'
export * from './redaction.ts'
export * from './request-observer.ts'
export * from './service-names.ts'
