// Labels, selectors and identities: values and pure functions. Imports `ip` only;
// runs in a browser.

export * from './identity.ts'
export * from './identity-allocator.ts'
export * from './label.ts'
export * from './label-index.ts'
export * from './label-set.ts'
export * from './named-port.ts'
export * from './pod-labels.ts'
export * from './selector.ts'
