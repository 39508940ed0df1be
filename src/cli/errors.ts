// Errors in words: what happened, to what, and what to do. A defect of ours keeps its
// stack, so that it can be reported.

import { AgentUnreachableError, ApiError } from '../api/index.ts'

/** Errors with a `code` are expected ones: their message says all. Those of Node itself are not, such as a wrong argument. */
export function explainError(error: unknown): string {
  if (error instanceof AgentUnreachableError && error.isAbsent)
    return `${error.message}\n  Is a sandbox up? \`axoneme sandbox status\` tells; \`axoneme sandbox up\` starts one; --socket names another agent.`
  if (error instanceof ApiError) return error.message
  if (error instanceof Error && 'code' in error && !String(error.code).startsWith('ERR_')) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
