// What every source of declared objects promises, be it a folder, a Kubernetes API
// or a test. contract.ts holds the tests that each of them passes.

import type { ManifestObject, Problem } from '../manifests/index.ts'

/** Objects that are new or differ, and objects that are gone. An object is in one of the two at most. */
export type ObjectChanges = {
  readonly put: readonly ManifestObject[]
  /** As they were when they were put last. */
  readonly deleted: readonly ManifestObject[]
}

/** Where a source delivers to. Its methods are called one at a time and must not throw. */
export type ObjectSink = {
  /**
   * What belongs together comes in one call, but what is there at the start may come in several, until `initialized`.
   * Never called with nothing.
   */
  apply(changes: ObjectChanges): void
  /** All problems that there are now, each time they change. */
  report(problems: readonly Problem[]): void
  /** Called once, when everything that was declared at the start has been applied or reported. */
  initialized(): void
}

/**
 * A source of declared objects. It delivers every object once at the start and then each change. An object that becomes
 * invalid is reported and stays as it was; it is deleted only when it is known to be gone.
 */
export type ManifestSource = {
  /** Delivers until the signal is aborted; nothing is delivered after that. Call once. */
  run(sink: ObjectSink, signal: AbortSignal): Promise<void>
}
