// Schema of the label selectors of the Cilium kinds: as Kubernetes' own, but with keys
// that may say where a label comes from (`k8s:app`, `reserved:host`).

import * as z from 'zod'
import { parseCidr } from '../../../ip/index.ts'
import { KEYS, SELECTOR_SOURCES, selectorKey } from '../../../labels/index.ts'
import {
  apiObject,
  isDnsSubdomain,
  isLabelKey,
  isLabelValue,
  LABEL_KEY_RULE,
  LABEL_VALUE_RULE,
} from '../../../manifests/index.ts'
import { DNS_PATTERN } from './dns-names.ts'

const labelValue = z.string().refine(isLabelValue, LABEL_VALUE_RULE)

const prefixedKey = z.string().check(({ value, issues }) => {
  const message = keyProblem(value)
  if (message !== undefined) issues.push({ code: 'custom', message, input: value })
})

const expressionSchema = apiObject({
  key: prefixedKey,
  operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
  values: z.array(labelValue).default([]),
}).check(({ value, issues }) => {
  const wantsValues = value.operator === 'In' || value.operator === 'NotIn'
  if (wantsValues === value.values.length > 0) return
  const message = `must be ${wantsValues ? 'given' : 'left out'} with the operator ${value.operator}`
  issues.push({ code: 'custom', message, path: ['values'], input: value })
})

export const prefixedSelectorSchema = apiObject({
  matchLabels: z.record(prefixedKey, labelValue).default({}),
  matchExpressions: z.array(expressionSchema).default([]),
})

export type PrefixedSelectorContent = z.output<typeof prefixedSelectorSchema>

/** The prefix that a `cidr:` label's key stands for. Cilium writes `-` for the `:` of IPv6. */
export function cidrOfKey(key: string): string | undefined {
  return (parseCidr(key) ?? parseCidr(key.replaceAll('-', ':')))?.text
}

function keyProblem(text: string): string | undefined {
  const named = selectorKey(text)
  if (!named)
    return `must begin with one of ${SELECTOR_SOURCES.map(source => `${source}:`).join(', ')} or with no such word`
  const { source, key } = named
  switch (source) {
    case 'cidr':
      return cidrOfKey(key) === undefined ? 'must be cidr: and a prefix such as 10.0.0.0/8' : undefined
    case 'cidrgroup':
      return isDnsSubdomain(key) ? undefined : 'must be cidrgroup: and the name of a CiliumCIDRGroup'
    case 'fqdn':
      return DNS_PATTERN.test(key) ? undefined : 'must be fqdn: and a DNS name, in which * may stand for any characters'
    default: {
      const own = key.startsWith(KEYS.namespaceLabelPrefix) ? key.slice(KEYS.namespaceLabelPrefix.length) : key
      return isLabelKey(own) ? undefined : LABEL_KEY_RULE
    }
  }
}
