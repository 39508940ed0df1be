// Schema of a Kubernetes label selector, for every policy kind that has one. As strict
// as the API server (k8s.io/apimachinery pkg/apis/meta/v1/validation).

import * as z from 'zod'
import { apiObject, isLabelKey, isLabelValue, LABEL_KEY_RULE, LABEL_VALUE_RULE } from '../../manifests/index.ts'

const labelKey = z.string().refine(isLabelKey, LABEL_KEY_RULE)
const labelValue = z.string().refine(isLabelValue, LABEL_VALUE_RULE)

const expressionSchema = apiObject({
  key: labelKey,
  operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
  values: z.array(labelValue).default([]),
}).check(({ value, issues }) => {
  const wantsValues = value.operator === 'In' || value.operator === 'NotIn'
  if (wantsValues === value.values.length > 0) return
  const message = `must be ${wantsValues ? 'given' : 'left out'} with the operator ${value.operator}`
  issues.push({ code: 'custom', message, path: ['values'], input: value })
})

export const labelSelectorSchema = apiObject({
  matchLabels: z.record(labelKey, labelValue).default({}),
  matchExpressions: z.array(expressionSchema).default([]),
})
