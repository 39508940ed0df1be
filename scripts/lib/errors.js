// The one error of set-up: something that the person at the keyboard can act on. Its message is printed without a stack;
// everything else that is thrown here is a fault of ours and keeps its stack.

/** What was attempted, why it failed, and what to do. */
export class SetUpError extends Error {
  /** @override */
  name = 'SetUpError'
  /** Output of the tool that failed, for the reader; may be empty. */
  output = ''
  /** Exit status that tells it to the shell. */
  status = 1

  /**
   * @param {string} message
   * @param {{ output?: string, cause?: unknown, status?: number }} [options]
   */
  constructor(message, options = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.output = options.output ?? ''
    this.status = options.status ?? 1
  }
}
