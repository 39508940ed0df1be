// Flows: from kernel records to words, and their stream.

export * from './boot-clock.ts'
export * from './describe.ts'
export * from './flow.ts'
export * from './kernel-services.ts'
export * from './observer.ts'
export * from './service-names.ts'
