// What the reader of one policy object has to tell of it: errors, warnings, and what is
// valid and not enforced yet.

import {
  formatPath,
  MAX_PROBLEMS_OF_OBJECT,
  type ManifestObject,
  type Path,
  type Problem,
  problemOf,
  UNKNOWN_FIELD_EFFECT,
  type Validation,
} from '../../manifests/index.ts'
import type { Action, Unenforced } from '../model/rule.ts'

/** Most problems told of one object. */
const MOST_TOLD = 100

export class Findings {
  readonly #object: ManifestObject
  #problems: Problem[]
  #unenforced: readonly Unenforced[] = []
  /** Not all that the schema does not know is told. */
  readonly #isCut: boolean

  /** @param problems what the check against the schema found */
  constructor(object: ManifestObject, problems: readonly Problem[]) {
    this.#object = object
    this.#problems = [...problems]
    this.#isCut = problems.length >= MAX_PROBLEMS_OF_OBJECT
  }

  /** Errors first once there are too many to tell them all. */
  get problems(): readonly Problem[] {
    const rest = this.#problems.length - MOST_TOLD
    if (rest <= 0) return this.#problems
    const bySeverity = (severity: Problem['severity']): Problem[] =>
      this.#problems.filter(problem => problem.severity === severity)
    const told = [...bySeverity('error'), ...bySeverity('warning')].slice(0, MOST_TOLD)
    return [...told, problemOf(this.#object, 'warning', [], `${rest} more problems are not told`)]
  }

  get hasErrors(): boolean {
    return this.#problems.some(({ severity }) => severity === 'error')
  }

  /** For `Policy.unenforced`: undefined when there is nothing. */
  get unenforced(): readonly Unenforced[] | undefined {
    return this.#unenforced.length > 0 ? this.#unenforced : undefined
  }

  error(path: Path, message: string): void {
    this.#problems.push(problemOf(this.#object, 'error', path, message))
  }

  warn(path: Path, message: string): void {
    this.#problems.push(problemOf(this.#object, 'warning', path, message))
  }

  /**
   * Whether a rule has fields that the schema does not know, of a newer version or misspelt; then that is told with what
   * comes of it. To be asked before anything else is found in the rule.
   */
  unenforceUnknown(rule: Path, effect: string): boolean {
    const place = formatPath(rule)
    const isInside = ({ path = '' }: Problem): boolean =>
      path.startsWith(place) && /^[.[]/.test(path.slice(place.length))
    const unknown = this.#problems.filter(isInside)
    const reasons = unknown.map(({ path = '', message }) => ({
      path,
      reason: message.replace(UNKNOWN_FIELD_EFFECT, ''),
    }))
    this.#unenforced = [...this.#unenforced, ...reasons]
    this.#problems = this.#problems.map(problem => {
      if (!isInside(problem)) return problem
      return { ...problem, message: problem.message.replace(UNKNOWN_FIELD_EFFECT, `; ${effect}`) }
    })
    if (unknown.length === 0 && this.#isCut) this.unenforce(rule, 'too much of the object is not known', effect)
    return unknown.length > 0 || this.#isCut
  }

  /** A field that is valid and not enforced yet: a warning, and part of the policy's status. `effect` is what comes of it. */
  unenforce(path: Path, reason: string, effect: string): void {
    const field = formatPath(path)
    // This says more of a field than that it is unknown.
    this.#unenforced = [...this.#unenforced.filter(known => known.path !== field), { path: field, reason }]
    this.#problems = this.#problems.filter(known => known.path !== field || known.severity === 'error')
    this.warn(path, `is not enforced: ${reason}; ${effect}`)
  }

  /** The value of a part that was read apart, with its problems taken over. */
  take<T>({ value, problems }: Validation<T>): T | undefined {
    this.#problems.push(...problems)
    return value
  }
}

/** What becomes of a whole rule with a part that is not enforced: it fails closed. */
export function closedEffect(action: Action): string {
  return action === 'allow' ? 'this rule matches no traffic' : 'this rule denies all traffic'
}
