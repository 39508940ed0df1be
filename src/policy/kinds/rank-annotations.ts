// Tier and priority of policies whose kind has no field for them.

import { type ManifestObject, problemOf, type Validation } from '../../manifests/index.ts'
import type { Tier } from '../model/rule.ts'
import { PRIORITY_ANNOTATION, TIER_ANNOTATION } from './annotations.ts'

const TIERS: readonly Tier[] = ['admin', 'normal', 'baseline']
const LAST_PRIORITY = 1000

/** Place of a policy among all. Without a priority it comes after those that have one. */
export type Rank = { readonly tier: Tier; readonly priority?: number }

export function readRank(object: ManifestObject): Validation<Rank> {
  const { [TIER_ANNOTATION]: tierText = 'normal', [PRIORITY_ANNOTATION]: priorityText } = object.metadata.annotations
  const tier = TIERS.find(known => known === tierText)
  if (!tier) return refused(object, TIER_ANNOTATION, `must be one of ${TIERS.join(', ')}`)
  if (priorityText === undefined) return { value: { tier }, problems: [] }
  const priority = /^\d{1,4}$/.test(priorityText) ? Number(priorityText) : LAST_PRIORITY + 1
  if (priority > LAST_PRIORITY)
    return refused(object, PRIORITY_ANNOTATION, `must be a whole number from "0" to "${LAST_PRIORITY}"`)
  return { value: { tier, priority }, problems: [] }
}

/** A warning for each of the two at a policy of a kind that says it in its own way. */
export function unusedRank(object: ManifestObject): Validation<undefined> {
  const given = [TIER_ANNOTATION, PRIORITY_ANNOTATION].filter(name => object.metadata.annotations[name] !== undefined)
  const message = `has no effect on a ${object.kind}`
  return { problems: given.map(name => problemOf(object, 'warning', ['metadata', 'annotations', name], message)) }
}

function refused(object: ManifestObject, annotation: string, rule: string): Validation<never> {
  const got = JSON.stringify(object.metadata.annotations[annotation])
  return { problems: [problemOf(object, 'error', ['metadata', 'annotations', annotation], `${rule}, not ${got}`)] }
}
