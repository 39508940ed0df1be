// Schema of the label selectors of the Cilium kinds: as Kubernetes' own, but with keys
// that may say where a label comes from (`k8s:app`, `reserved:host`).

import * as z from 'zod'
import { parseCidr } from '../../../ip/index.ts'
import { KEYS, SELECTOR_SOURCES, selectorKey } from '../../../labels/index.ts'
import { isDnsSubdomain, isLabelKey, LABEL_KEY_RULE } from '../../../manifests/index.ts'
import { selectorSchemaOf } from '../label-selector-schema.ts'
import { DNS_PATTERN } from './dns-names.ts'

const prefixedKey = z.string().check(({ value, issues }) => {
  const message = keyProblem(value)
  if (message !== undefined) issues.push({ code: 'custom', message, input: value })
})

export const prefixedSelectorSchema = selectorSchemaOf(prefixedKey)

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
