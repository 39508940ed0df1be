// What people are told of addresses that could not get the identity they ask for: two
// claim one, or no number was left.

import type { Problem } from '../tables/index.ts'
import type { AddressConflict } from './identities.ts'
import type { Unnumbered } from './identity-holder.ts'

/** Problems that are about no file stand under this name. */
export const ADDRESSES_FILE = '(addresses)'

/** What people are told of addresses that two claim, and of those that no identity was left for. */
export function addressProblems(conflicts: readonly AddressConflict[], unnumbered: readonly Unnumbered[]): Problem[] {
  return [...conflicts.map(conflictProblem), ...unnumbered.map(unnumberedProblem)]
}

const conflictProblem = ({ prefix, owner, other }: AddressConflict): Problem =>
  addressProblem(
    `conflict ${prefix} ${other}`,
    other,
    `address ${prefix} is claimed by ${owner} and by ${other}; ${owner} keeps it`,
  )

function unnumberedProblem({ prefix, owner, kind, error }: Unnumbered): Problem {
  const effect =
    kind === 'name'
      ? 'counts as one of the world, and rules about names do not match it'
      : "counts as nobody's, and only what is allowed to anybody is allowed to it"
  return addressProblem(`unnumbered ${prefix}`, owner, `address ${prefix} of ${owner} ${effect}: ${error.message}`)
}

function addressProblem(id: string, object: string, message: string): Problem {
  return { id, severity: 'error', object, message, file: ADDRESSES_FILE, line: 0, column: 0 }
}
