// How HAProxy is to be configured with rule sets: what its launcher keeps in files and
// brings to the process while it runs.

import { haproxyEntries, type SecretValue } from '../../http/index.ts'
import type { L7RuleSet } from '../../policy/index.ts'
import { HAPROXY_MAPS, haproxyConfiguration } from './configuration.ts'
import type { HaproxyMapEntry } from './options.ts'
import { serverNameEntries } from './server-names.ts'

/** @param secretValue of the secrets that headers are compared with; what is not there matches nothing */
export const haproxyRules = (secretValue: SecretValue = () => undefined) => ({
  configuration: haproxyConfiguration,
  maps: HAPROXY_MAPS,
  /** @throws RangeError for a set part of whose rules cannot be judged by */
  entries(set: L7RuleSet): readonly HaproxyMapEntry[] {
    const { entries, problem } = haproxyEntries(set, secretValue)
    if (problem !== undefined) throw new RangeError(`rule set ${set.number}: ${problem}`)
    return [...entries, ...serverNameEntries(set)]
  },
})
