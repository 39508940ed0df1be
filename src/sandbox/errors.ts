// The errors that a user of the sandbox meets: each says what was attempted and what to do, so that a command can print
// the message as it is.

/** An expected failure of a sandbox command. */
export class SandboxError extends Error {
  override readonly name = 'SandboxError'
  readonly code: SandboxErrorCode

  constructor(code: SandboxErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

export type SandboxErrorCode =
  /** A name, port or option is wrong. */
  | 'invalid'
  /** Not root, or the kernel or a program lacks something. */
  | 'unsupported'
  /** Another command is making or removing the same sandbox. */
  | 'busy'
  /** There is no such sandbox, or it does not answer. */
  | 'not-up'
  /** No such pod, container or log. */
  | 'not-found'
  /** The pod exists but does not run now. */
  | 'not-running'
  /** The sandbox could not be made. */
  | 'failed'
  /** Ended by a signal or an abort. */
  | 'interrupted'
  /** A measurement could not be made, so its result is neither allowed nor denied. */
  | 'not-measured'

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
