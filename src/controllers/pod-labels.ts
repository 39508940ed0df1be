// The labels of pods and of their addresses, worked out once and kept for as long as
// nothing has changed that they follow from: the pod, its namespace's labels and what
// policies refer to. Every pass of a controller asks for those of every pod, and
// between two passes next to nothing has changed.

import { parseIp } from '../ip/index.ts'
import { addressLabels, type LabelSet, labelTexts, type NamedPort, namedPortTexts, podLabels } from '../labels/index.ts'
import { type Audit, type References, type Visibility, visibilityText } from '../policy/index.ts'
import type { Pod } from '../tables/index.ts'

/** What a pod's policy is resolved for. Pods with the same key have the same policy. `audit`: denials there are only recorded. */
export type Subject = Audit & {
  readonly key: string
  readonly labels: LabelSet
  readonly namedPorts: readonly NamedPort[]
  /** Ports where what is said is to be seen. */
  readonly visibility?: readonly Visibility[]
}

/** The subject where its namespace asks that all its denials be recorded and pass. */
export const auditedSubject = (subject: Subject): Subject => ({
  ...subject,
  key: `${subject.key} (audit)`,
  audit: true,
})

/** An address of a pod as a prefix of full length, with the labels of its identity. */
export type AddressIdentity = { readonly prefix: string; readonly labels: LabelSet }

type WorkedOut = {
  readonly namespaceLabels: Readonly<Record<string, string>>
  readonly revision: number
  readonly subject: Subject
  /** By address. */
  readonly addresses: Map<string, AddressIdentity | undefined>
}

export class PodLabels {
  readonly #workedOut = new WeakMap<Pod, WorkedOut>()

  /** @param namespaceLabels the same object as long as they are the same */
  subject(pod: Pod, namespaceLabels: Readonly<Record<string, string>>, references: References): Subject {
    return this.#of(pod, namespaceLabels, references).subject
  }

  /** Undefined for a text that is no address. */
  address(
    text: string,
    pod: Pod,
    namespaceLabels: Readonly<Record<string, string>>,
    references: References,
  ): AddressIdentity | undefined {
    const { addresses, subject } = this.#of(pod, namespaceLabels, references)
    if (!addresses.has(text)) addresses.set(text, addressIdentity(text, subject, references))
    return addresses.get(text)
  }

  #of(pod: Pod, namespaceLabels: Readonly<Record<string, string>>, references: References): WorkedOut {
    const known = this.#workedOut.get(pod)
    if (known?.namespaceLabels === namespaceLabels && known.revision === references.revision) return known
    const { namespace, labels, serviceAccount, ports, visibility = [] } = pod
    const base = podLabels({ namespace, namespaceLabels, labels, serviceAccount }, references.labelKeys)
    const subject = subjectOf(base, ports, visibility)
    const fresh = { namespaceLabels, revision: references.revision, subject, addresses: new Map() }
    this.#workedOut.set(pod, fresh)
    return fresh
  }
}

function addressIdentity(text: string, subject: Subject, references: References): AddressIdentity | undefined {
  const address = parseIp(text)
  if (!address) return undefined
  const labels = addressLabels(subject.labels, address, references, subject.namedPorts)
  return { prefix: `${text}/${address.family === 4 ? 32 : 128}`, labels }
}

/** Of two named ports with one name and protocol the first counts, so it alone makes a difference. */
function subjectOf(labels: LabelSet, namedPorts: readonly NamedPort[], visibility: readonly Visibility[]): Subject {
  const seen = visibility.length > 0 ? [`(visible ${visibilityText(visibility)})`] : []
  return {
    key: [labelTexts(labels).join(' '), ...namedPortTexts(namedPorts), ...seen].join(' '),
    labels,
    namedPorts,
    ...(visibility.length > 0 && { visibility }),
  }
}
