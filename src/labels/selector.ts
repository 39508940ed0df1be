// Label selectors: requirements that a label set meets all of. One form serves every
// policy kind; the functions below translate Kubernetes label selectors, and those
// with source prefixes of the Cilium kinds, into it. Pure.

import { escapeLabelPart, isInternalKey, KEYS, type LabelSource, labelName } from './label.ts'
import type { LabelSet } from './label-set.ts'

export type Operator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'

/** `any` stands for whatever source a label has. */
export type RequirementSource = LabelSource | 'any'

/** As in Kubernetes: `NotIn` and `DoesNotExist` hold for a set without the key; `In` needs it. */
export type Requirement = {
  readonly source: RequirementSource
  readonly key: string
  readonly operator: Operator
  /** Sorted and unique; empty for Exists and DoesNotExist. */
  readonly values: readonly string[]
}

/** All requirements must hold; none selects everything. Made by `selector` alone, so that equal ones have equal keys. */
export type Selector = {
  readonly requirements: readonly Requirement[]
  /** Canonical text; equal for selectors with the same requirements. */
  readonly key: string
}

/** The selector of some requirements, in canonical form. */
export function selector(requirements: Iterable<Requirement>): Selector {
  const byText = new Map<string, Requirement>()
  for (const { source, key, operator, values } of requirements) {
    const canonical = Object.freeze({ source, key, operator, values: Object.freeze([...new Set(values)].sort()) })
    byText.set(formatRequirement(canonical), canonical)
  }
  const texts = [...byText.keys()].sort()
  return Object.freeze({
    requirements: Object.freeze(texts.map(text => byText.get(text) as Requirement)),
    key: texts.join('; '),
  })
}

/** Selects every label set. */
export const EVERYTHING: Selector = selector([])

/** Whether the set meets every requirement. */
export function matches(selector: Selector, set: LabelSet): boolean {
  return selector.requirements.every(requirement => meets(requirement, set))
}

function meets({ source, key, operator, values }: Requirement, set: LabelSet): boolean {
  const found = source === 'any' ? valuesOfAnySource(set, key) : set.values.get(labelName(source, key))
  if (operator === 'Exists' || operator === 'DoesNotExist') return (found !== undefined) === (operator === 'Exists')
  return (found !== undefined && includes(values, found)) === (operator === 'In')
}

const includes = (values: readonly string[], found: string | readonly string[]): boolean =>
  typeof found === 'string' ? values.includes(found) : found.some(value => values.includes(value))

function valuesOfAnySource(set: LabelSet, key: string): readonly string[] | undefined {
  const found = set.labels.filter(label => label.key === key).map(label => label.value)
  return found.length > 0 ? found : undefined
}

/** One requirement for people and as part of a key: `k8s:app in (a, b)`, `!cidr:10.0.0.0/8`, `k8s:app = web`. Injective. */
export function formatRequirement({ source, key, operator, values }: Requirement): string {
  const name = `${source}:${quote(key)}`
  if (operator === 'Exists') return name
  if (operator === 'DoesNotExist') return `!${name}`
  const list = values.map(quote)
  if (list.length === 1) return `${name} ${operator === 'In' ? '=' : '!='} ${list[0]}`
  return `${name} ${operator === 'In' ? 'in' : 'notin'} (${list.join(', ')})`
}

const quote = (part: string): string =>
  part.replace(/[%;=,()! ]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)

/** A LabelSelector of apimachinery's meta/v1, already validated. */
export type KubernetesSelector = {
  readonly matchLabels?: Readonly<Record<string, string>> | undefined
  readonly matchExpressions?:
    | readonly { readonly key: string; readonly operator: Operator; readonly values?: readonly string[] | undefined }[]
    | undefined
}

export const has = (source: RequirementSource, key: string): Requirement => ({
  source,
  key,
  operator: 'Exists',
  values: [],
})

export const lacks = (source: RequirementSource, key: string): Requirement => ({
  source,
  key,
  operator: 'DoesNotExist',
  values: [],
})

/** Pods of one namespace. */
export const inNamespace = (namespace: string): Requirement => ({
  source: 'k8s',
  key: KEYS.namespace,
  operator: 'In',
  values: [namespace],
})

/** Pods of any namespace: every pod has the label, and nothing else does. */
export const IS_POD: Requirement = has('k8s', KEYS.namespace)

/** What a Kubernetes `podSelector` asks of pod labels, and of nothing else: a key that is an internal name means the pod's own. */
export function podRequirements(selector: KubernetesSelector): Requirement[] {
  return requirements(selector, key => ({ source: isInternalKey(key) ? 'pod' : 'k8s', key }))
}

/** What a Kubernetes `namespaceSelector` asks of the pod's namespace. An empty one asks for a pod. */
export function namespaceRequirements(selector: KubernetesSelector): Requirement[] {
  return [IS_POD, ...requirements(selector, key => ({ source: 'k8s', key: `${KEYS.namespaceLabelPrefix}${key}` }))]
}

/** Words that a selector's key may begin with, before a colon. `unspec` is another one for `any`. */
export const SELECTOR_SOURCES = ['k8s', 'any', 'unspec', 'reserved', 'cidr', 'cidrgroup', 'fqdn', 'node'] as const

/**
 * A selector's key with its source: `reserved:host`, or `app` of any source. A key of any source that is an internal name
 * is the fact of Kubernetes alone, which no label of a pod can forge. Undefined when the source is not known.
 */
export function selectorKey(text: string): { readonly source: RequirementSource; readonly key: string } | undefined {
  const colon = text.indexOf(':')
  const key = text.slice(colon + 1)
  const source = colon < 0 ? 'any' : SELECTOR_SOURCES.find(known => known === text.slice(0, colon))
  if (source === 'any' || source === 'unspec') return { source: isInternalKey(key) ? 'k8s' : 'any', key }
  return source && { source, key }
}

/** A selector whose keys may carry a source (see `selectorKey`). */
export function prefixedRequirements(selector: KubernetesSelector): Requirement[] {
  return requirements(selector, text => selectorKey(text) ?? { source: 'any', key: text })
}

function requirements(
  { matchLabels = {}, matchExpressions = [] }: KubernetesSelector,
  nameOf: (key: string) => { source: RequirementSource; key: string },
): Requirement[] {
  return [
    ...Object.entries(matchLabels).map(([key, value]): Requirement => {
      return { ...nameOf(key), operator: 'In', values: [value] }
    }),
    ...matchExpressions.map(({ key, operator, values = [] }): Requirement => {
      return { ...nameOf(key), operator, values: operator === 'In' || operator === 'NotIn' ? values : [] }
    }),
  ]
}

/** Texts of which a set must contain at least one to meet the requirement; undefined when it may contain none. For indexes. */
export function necessaryTerms({ source, key, operator, values }: Requirement): string[] | undefined {
  const name = `${source}:${escapeLabelPart(key)}`
  if (operator === 'Exists') return [name]
  if (operator !== 'In') return undefined
  return values.map(value => `${name}=${escapeLabelPart(value)}`)
}

/** Every term of a set that `necessaryTerms` can name, once each. */
export function termsOf(set: LabelSet): Set<string> {
  const terms = new Set<string>()
  for (const { source, key, value } of set.labels)
    for (const name of [labelName(source, key), `any:${escapeLabelPart(key)}`])
      terms.add(name).add(`${name}=${escapeLabelPart(value)}`)
  return terms
}
