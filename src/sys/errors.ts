// Errors of the kernel as typed values: what was attempted, on which object, and
// the symbolic errno. Callers decide by `code`, people read `message`.

import os from 'node:os'

const NAME_BY_ERRNO = new Map(Object.entries(os.constants.errno).map(([name, number]) => [number, name]))
// Errnos that Linux returns and that Node's table leaves out.
const LINUX_ONLY: Readonly<Record<number, string>> = {
  67: 'ENOLINK',
  77: 'EBADFD',
  117: 'EUCLEAN',
  126: 'ENOKEY',
  524: 'ENOTSUPP',
}

/** Symbolic name of an errno, such as `ENOENT`. */
export function errnoName(errno: number): string {
  return NAME_BY_ERRNO.get(errno) ?? LINUX_ONLY[errno] ?? `errno ${errno}`
}

/** A system call that failed. `operation` says what was attempted and on what. */
export class SystemError extends Error {
  override readonly name: string = 'SystemError'
  readonly operation: string
  readonly errno: number
  /** Symbolic errno, such as `EPERM`. */
  readonly code: string

  constructor(operation: string, errno: number, detail = '') {
    const code = errnoName(errno)
    super(`${operation}: ${code}${detail ? `: ${detail}` : ''}`)
    this.operation = operation
    this.errno = errno
    this.code = code
  }
}

/** Passes a system call's result through. @throws SystemError when it is a negated errno */
export function check(operation: string, value: number): number {
  if (value < 0) throw new SystemError(operation, -value)
  return value
}

/** What Node's own file functions throw, as a SystemError that says what was attempted; any other error unchanged. */
export function systemErrorOf(operation: string, error: unknown): unknown {
  const errno = error instanceof Error && 'errno' in error ? error.errno : undefined
  return typeof errno === 'number' ? new SystemError(operation, Math.abs(errno)) : error
}
