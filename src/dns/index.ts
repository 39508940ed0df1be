// DNS as policy sees it: what a message asks and answers, which names rules and
// selectors mean, and what the server that judges tells the agent. Pure.

export * from './chain.ts'
export * from './edns.ts'
export * from './handover.ts'
export * from './message.ts'
export * from './name.ts'
export * from './patterns.ts'
export * from './refusal.ts'
export * from './teaching.ts'
