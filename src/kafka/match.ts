// Judges a request by the rules of one set. Rules are alternatives: a request about
// several topics is allowed when each topic is allowed by some rule, and denied as a
// whole when one is not.

import type { KafkaRule } from '../policy/index.ts'
import type { Scope, Topics } from './api.ts'
import type { RequestHeader } from './request.ts'

/** What rules look at. */
export type KafkaSubject = {
  readonly header: Pick<RequestHeader, 'apiKey' | 'apiVersion' | 'clientId'>
  readonly api: { readonly scope: Scope }
  readonly topics: Topics
}

/** Of one topic, or of the whole request where it names none. `rule`: place of the rule that allows it; absent: denied. */
export type TopicVerdict = { readonly topic?: string; readonly rule?: number }
export type KafkaVerdict = { readonly allowed: boolean; readonly topics: readonly TopicVerdict[] }

/**
 * A rule with a topic lets pass what is about that topic, and what a client needs besides to use topics at all (scope
 * `client`): groups, coordinators, logging in. It allows nothing that is about the cluster, or about all topics at once.
 */
export function matchKafka(rules: readonly KafkaRule[], subject: KafkaSubject): KafkaVerdict {
  const named = subject.api.scope === 'topics' && subject.topics?.length ? subject.topics : undefined
  const topics = named
    ? [...new Set(named)].map(topic => verdictOf(rules, subject, topic))
    : [verdictOf(rules, subject)]
  return { allowed: topics.every(verdict => verdict.rule !== undefined), topics }
}

function verdictOf(rules: readonly KafkaRule[], subject: KafkaSubject, topic?: string): TopicVerdict {
  const rule = rules.findIndex(each => matchesHeader(each, subject) && matchesTopic(each, subject, topic))
  return { ...(topic !== undefined && { topic }), ...(rule >= 0 && { rule }) }
}

const matchesHeader = (rule: KafkaRule, { header }: KafkaSubject): boolean =>
  (rule.apiKeys?.includes(header.apiKey) ?? true) &&
  (rule.apiVersion === undefined || rule.apiVersion === header.apiVersion) &&
  (rule.clientId === undefined || rule.clientId === header.clientId)

function matchesTopic(rule: KafkaRule, { api, topics }: KafkaSubject, topic: string | undefined): boolean {
  if (rule.topic === undefined) return true
  if (topic !== undefined) return rule.topic === topic
  return api.scope !== 'cluster' && topics?.length === 0
}
