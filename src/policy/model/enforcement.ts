// Who is isolated where no policy says so: the setting of a whole cluster.

/**
 * Who is isolated where no policy says so. `default`: whom a policy isolates. `always`: every pod, in both directions,
 * policies or none. `never`: nobody, and no rule is enforced.
 */
export type EnforcementMode = 'default' | 'always' | 'never'
/** Every enforcement mode. */
export const ENFORCEMENT_MODES: readonly EnforcementMode[] = ['default', 'always', 'never']
