// Which rule comes nearest to allowing a denied request: for the flows that somebody
// reads, when they are read, and only where it is cheap.

import type { L7Event, Tables } from '../tables/index.ts'
import type { Flow } from './flow.ts'
import { ruleText } from './flow-rule.ts'
import { askedIn, whyRequest } from './why-request.ts'

/** All of them are tried anew for each request: more would cost the agent too much. */
const MOST_RULES = 32

/** @param flow that the event became: what is redacted there is not told by the rule either */
export function withNearestRule(flow: Flow, { deniedBy, ...event }: L7Event, tables: Tables): Flow {
  const isDenied = event.verdict === 'DROPPED' || event.verdict === 'AUDIT'
  if (!flow.l7 || !deniedBy || !isDenied) return flow
  const rules = tables.l7RuleSets.get(String(event[deniedBy].set))?.rules
  const asked = askedIn(flow.l7)
  if (!rules || !asked || rules.rules.length > MOST_RULES) return flow
  const answer = whyRequest(rules, asked)
  // Allowed by what it shows: the rules have changed since, or what was redacted decided.
  const [nearest] = answer.allowed ? [] : answer.nearest
  if (!nearest) return flow
  const { rule, field, because } = nearest
  const numbered = tables.rules.by('key', rule)[0]
  const text = numbered ? ruleText(numbered, field) : rule
  return { ...flow, l7: { ...flow.l7, nearestRule: { text, field, because } } }
}
