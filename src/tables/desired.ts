// What the kernel is to have: policy maps, endpoint entries, rule numbers. Written by
// controllers/policies.ts, made real by the reconcilers of the same names.

import type {
  Audit,
  IsolatedBy,
  IsolatingPolicy,
  L7Judge,
  L7Lines,
  L7RuleSet,
  PolicyEntry,
  RuleKey,
  Treatment,
} from '../policy/index.ts'
import { defineTable } from '../state/index.ts'

/** One inner policy map, shared by all endpoints with these labels and named ports. */
export type PolicyMap = {
  /** Key of the inner map in the kernel's map of policy maps. */
  readonly id: number
  /** Canonical text of the labels and named ports that it was resolved for. */
  readonly subject: string
  readonly entries: readonly NumberedEntry[]
  /** Equal exactly where the entries are. */
  readonly contentKey: string
  readonly isolatedBy: IsolatedBy
}

/** A policy entry with the number that stands for its rule in maps and events. */
export type NumberedEntry = Omit<PolicyEntry, 'rule' | 'treatment'> & {
  readonly rule: number
  readonly key: RuleKey
  /** What happens beside the verdict, but for the rules themselves: these stand once in a table of their own. */
  readonly treatment?: Omit<Treatment, 'l7'> | undefined
  /** Of an allowance of connections that are judged further: by whom, and by which rule set; `key` is that of its content. `audit`: for the record. */
  readonly l7?: (Audit & { readonly number: number; readonly key: string; readonly judge: L7Judge }) | undefined
}

/** One entry of the kernel's endpoint map. */
export type EndpointEntry = {
  readonly address: string
  readonly endpoint: number
  readonly ifindex: number
  readonly mac: string
  readonly identity: number
  /** Id of its policy map. */
  readonly policy: number
  readonly containerId: string
}

/** What a rule number in a map or an event stands for. */
export type NumberedRule = {
  readonly number: number
  readonly key: RuleKey
  /** Names policy, place and line, for people. */
  readonly text: string
  /** Of a rule with rules for what is said: whose lines these have in its file, for `ruleText`. */
  readonly said?: { readonly name: string; readonly file: string; readonly lines: L7Lines } | undefined
  /** What its author wants to read in the flows that it decides. */
  readonly log?: string | undefined
}

export const policyMapTable = defineTable({
  name: 'policy-maps',
  key: (map: PolicyMap) => String(map.id),
  indexes: { subject: map => [map.subject] },
  columns: {
    ID: map => String(map.id),
    ENTRIES: map => String(map.entries.length),
    INGRESS: map => map.isolatedBy.ingress.map(policyText).join(' ') || '(open)',
    EGRESS: map => map.isolatedBy.egress.map(policyText).join(' ') || '(open)',
    SUBJECT: map => map.subject,
  },
  equal: (a, b) =>
    a.id === b.id &&
    a.subject === b.subject &&
    a.contentKey === b.contentKey &&
    (a.isolatedBy === b.isolatedBy || JSON.stringify(a.isolatedBy) === JSON.stringify(b.isolatedBy)),
})

function policyText({ namespace, name, audit }: IsolatingPolicy): string {
  return `${namespace ? `${namespace}/` : ''}${name}${audit ? ' (audit)' : ''}`
}

export const endpointEntryTable = defineTable({
  name: 'endpoint-entries',
  key: (entry: EndpointEntry) => entry.address,
  indexes: { endpoint: entry => [String(entry.endpoint)], policy: entry => [String(entry.policy)] },
  columns: {
    ADDRESS: entry => entry.address,
    ENDPOINT: entry => String(entry.endpoint),
    IDENTITY: entry => String(entry.identity),
    POLICY: entry => String(entry.policy),
    IFINDEX: entry => String(entry.ifindex),
    MAC: entry => entry.mac,
  },
})

export const ruleTable = defineTable({
  name: 'rules',
  key: (rule: NumberedRule) => String(rule.number),
  indexes: { key: rule => [rule.key] },
  columns: { NUMBER: rule => String(rule.number), RULE: rule => rule.text, LOG: rule => rule.log ?? '' },
})

/** Rules for what is said on connections, as the proxies are to have them. */
export const l7RuleSetTable = defineTable({
  name: 'l7-rule-sets',
  key: (set: L7RuleSet) => String(set.number),
  columns: {
    NUMBER: set => String(set.number),
    PARSER: set => set.rules.parser,
    RULES: set => String(set.rules.rules.length),
    FROM: set => [...new Set(set.rules.rules.map(({ rule }) => rule))].join(' '),
  },
  equal: (a, b) => a.number === b.number,
})
