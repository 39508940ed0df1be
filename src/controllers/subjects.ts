// The subjects that policies are resolved for: one for all endpoints with the same labels
// and named ports. One that no endpoint has any more stays for a moment, so that packets
// under way still find its policy map.

import type { PolicyRepository, References, ResolvedPolicy } from '../policy/index.ts'
import type { AddressFacts } from './identities.ts'
import { Linger } from './linger.ts'
import { auditedSubject, type PodLabels, type Subject } from './pod-labels.ts'
import type { PolicyRows } from './policy-rows.ts'

export type SubjectsOptions = {
  readonly repository: PolicyRepository
  readonly rows: PolicyRows
  readonly podLabels: PodLabels
  readonly lingerMs: number
  /** Milliseconds on a clock that never goes back. */
  readonly now: () => number
}

export class Subjects {
  readonly #options: SubjectsOptions
  /** Those that have a policy map, by key: in use and lingering. */
  readonly #subjects = new Map<string, Subject>()
  readonly #linger: Linger<string>

  constructor(options: SubjectsOptions) {
    this.#options = options
    this.#linger = new Linger(options.lingerMs, options.now)
    this.#linger.update(options.rows.subjectKeys())
  }

  /** @returns the subject of each endpoint, by container id */
  feed(facts: AddressFacts, references: References): ReadonlyMap<string, Subject> {
    const { repository, rows, podLabels } = this.#options
    const subjects = new Map<string, Subject>()
    for (const { endpoint, pod } of facts.endpoints) {
      const labelled = podLabels.subject(pod, facts.namespaceLabels(pod.namespace), references)
      const subject = facts.isAudited(pod.namespace) ? auditedSubject(labelled) : labelled
      subjects.set(endpoint.containerId, subject)
      if (!this.#subjects.has(subject.key)) this.#subjects.set(subject.key, subject)
    }
    const wanted = Array.from(subjects.values(), subject => subject.key)
    for (const key of this.#linger.update(wanted).ended) {
      const subject = this.#subjects.get(key)
      if (subject) repository.forget(subject)
      this.#subjects.delete(key)
      rows.forget(key)
    }
    return subjects
  }

  resolveAll(): Map<Subject, ResolvedPolicy> {
    return new Map(this.#subjects.values().map(subject => [subject, this.#options.repository.resolve(subject)]))
  }

  /** When the first of those that linger will have ended. */
  nextEndMs(): number | undefined {
    return this.#linger.nextEndMs()
  }
}
