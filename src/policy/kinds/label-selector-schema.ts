// Schema of a label selector, for every policy kind that has one. As strict as the API
// server (k8s.io/apimachinery pkg/apis/meta/v1/validation).

import * as z from 'zod'
import { apiObject, isLabelKey, isLabelValue, LABEL_KEY_RULE, LABEL_VALUE_RULE } from '../../manifests/index.ts'

const labelValue = z.string().refine(isLabelValue, LABEL_VALUE_RULE)

/** Schema of a selector by labels whose keys have this form. */
export function selectorSchemaOf(labelKey: z.ZodString) {
  const expression = apiObject({
    key: labelKey,
    operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
    values: z.array(labelValue).default([]),
  }).check(({ value, issues }) => {
    const wantsValues = value.operator === 'In' || value.operator === 'NotIn'
    if (wantsValues === value.values.length > 0) return
    const message = `must be ${wantsValues ? 'given' : 'left out'} with the operator ${value.operator}`
    issues.push({ code: 'custom', message, path: ['values'], input: value })
  })
  return apiObject({
    matchLabels: z.record(labelKey, labelValue).default({}),
    matchExpressions: z.array(expression).default([]),
  })
}

/** As Kubernetes' own kinds have it. */
export const labelSelectorSchema = selectorSchemaOf(z.string().refine(isLabelKey, LABEL_KEY_RULE))
