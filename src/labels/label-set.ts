// A set of labels: what an identity is. Immutable and canonical: sorted, at most one
// value for a source and key, and with a text that is equal exactly when the sets are.

import { formatLabel, type Label, type LabelSource, labelName, parseLabel } from './label.ts'

/** Made by `labelSet` alone, so that equal sets have equal keys. */
export type LabelSet = {
  /** In the order of their texts. */
  readonly labels: readonly Label[]
  /** Value by `source:key`. */
  readonly values: ReadonlyMap<string, string>
  /** Canonical text: labels joined with `;`. Two sets are equal exactly when their keys are. */
  readonly key: string
}

/** @throws TypeError when two labels give one source and key different values */
export function labelSet(labels: Iterable<Label>): LabelSet {
  const byText = new Map<string, Label>()
  const values = new Map<string, string>()
  for (const label of labels) {
    const name = labelName(label.source, label.key)
    const known = values.get(name)
    if (known !== undefined && known !== label.value)
      throw new TypeError(`label ${name} has two values in one set: "${known}" and "${label.value}"`)
    values.set(name, label.value)
    byText.set(formatLabel(label), Object.freeze({ source: label.source, key: label.key, value: label.value }))
  }
  const texts = [...byText.keys()].sort()
  return Object.freeze({
    labels: Object.freeze(texts.map(text => byText.get(text) as Label)),
    values,
    key: texts.join(';'),
  })
}

export const EMPTY_LABELS: LabelSet = labelSet([])

/** The set of a canonical text, or undefined when it is none. The inverse of `LabelSet.key`. */
export function parseLabelSet(text: string): LabelSet | undefined {
  if (text === '') return EMPTY_LABELS
  const labels: Label[] = []
  for (const part of text.split(';')) {
    const label = parseLabel(part)
    if (!label) return undefined
    labels.push(label)
  }
  return labelSet(labels)
}

/** Value of a label, the empty string for one without value, undefined when the set lacks it. */
export function labelValue(set: LabelSet, source: LabelSource, key: string): string | undefined {
  return set.values.get(labelName(source, key))
}

/** The set with more labels. @throws TypeError when a label contradicts one of the set */
export function withLabels(set: LabelSet, more: readonly Label[]): LabelSet {
  return more.length === 0 ? set : labelSet([...set.labels, ...more])
}

/** The texts of the set, as people and flows show them. */
export function labelTexts(set: LabelSet): string[] {
  return set.labels.map(formatLabel)
}
