// Where rules meet: for every group of subjects, every kind of peer and every run of
// ports, the rules that match, in the order in which they decide. Rules of audited
// policies are left out: what they say is not enforced.

import {
  type NamedPort,
  namedPortKey,
  namedPortNumbers,
  namedPortTexts,
  SelectorIndex,
  selector,
} from '../../labels/index.ts'
import { allPortsOf } from '../cluster/port-classes.ts'
import type { PortSpan } from '../engine/port-space.ts'
import { compareRules, DIRECTIONS, type Direction, type Rule } from '../model/rule.ts'
import { type Landscape, madeUp, type Someone } from './landscape.ts'
import type { LintedRule, LintedSpec } from './linted-policy.ts'

/** Rules that all match some connection, the one that decides first. */
export type Cell = readonly LintedRule[]

/** The rules of a cell that are as strong as one that allows, and allow too. */
export const alikeIn = ({ rule }: LintedRule, cell: Cell): LintedRule[] =>
  cell.filter(other => other.rule.precedence === rule.precedence && other.rule.action === 'allow')

/** Every different cell, once. */
export function cellsOf(landscape: Landscape): Cell[] {
  const specs = landscape.policies.flatMap(policy => policy.specs)
  const matching = rulesByPeer(landscape, specs)
  const cells = new Map<string, Cell>()
  for (const { specs: own, namedPorts } of subjectGroups(landscape, specs))
    for (const direction of DIRECTIONS) {
      const rules = new Set(
        own.flatMap(spec => spec.rules).filter(({ rule }) => rule.direction === direction && !rule.audit),
      )
      const seen = new Set<string>()
      for (const { someone, rules: met } of matching) {
        const common = met.filter(rule => rules.has(rule))
        const key = keyOf(common, direction, someone)
        if (common.length === 0 || seen.has(key)) continue
        seen.add(key)
        for (const cell of cellsOfPeer(common, direction === 'ingress' ? namedPorts : someone.namedPorts))
          cells.set(cell.map(({ rule }) => rule.key).join('\n'), cell)
      }
    }
  return [...cells.values()]
}

function keyOf(rules: readonly LintedRule[], direction: Direction, { namedPorts }: Someone): string {
  const ports = direction === 'egress' ? namedPortTexts(namedPorts).join() : ''
  return `${rules.map(({ rule }) => rule.key).join('\n')}\n${ports}`
}

type SubjectGroup = { readonly specs: readonly LintedSpec[]; readonly namedPorts: readonly NamedPort[] }

/** Subjects that the same specs select and that have the same ports by name: pods, and who is just what a spec asks for. */
function subjectGroups({ subjects }: Landscape, specs: readonly LintedSpec[]): SubjectGroup[] {
  const index = new SelectorIndex<LintedSpec>()
  for (const spec of specs) index.set(spec, spec.spec.subject)
  const places = new Map(specs.map((spec, i) => [spec, i]))
  const groups = new Map<string, SubjectGroup>()
  const all = [
    ...subjects.map(({ labels, pod }) => ({ labels, namedPorts: pod.namedPorts })),
    ...[...new Map(specs.map(({ spec }) => [spec.subject.key, spec.subject])).values()].flatMap(madeUp),
  ]
  for (const { labels, namedPorts } of all) {
    const own = [...index.matching(labels)].sort((a, b) => (places.get(a) ?? 0) - (places.get(b) ?? 0))
    const key = `${own.map(spec => places.get(spec)).join()} ${namedPortTexts(namedPorts).join()}`
    groups.set(key, { specs: own, namedPorts })
  }
  return [...groups.values()]
}

type Meeting = { readonly someone: Someone; readonly rules: readonly LintedRule[] }

function rulesByPeer({ peers, selectorsOf }: Landscape, specs: readonly LintedSpec[]): Meeting[] {
  const index = new SelectorIndex<{ readonly of: LintedRule }>()
  const forAny: LintedRule[] = []
  for (const rule of specs.flatMap(spec => spec.rules)) {
    const selectors = selectorsOf(rule.rule)
    if (selectors === 'any') forAny.push(rule)
    else for (const one of selectors) index.set({ of: rule }, one)
  }
  const nobodySpecial: Someone = {
    labels: madeUp(selector([]))[0]?.labels as Someone['labels'],
    namedPorts: [],
    isReal: false,
  }
  return [...peers, nobodySpecial].map(someone => ({
    someone,
    rules: [...new Set([...forAny, ...[...index.matching(someone.labels)].map(({ of }) => of)])],
  }))
}

/** Cuts the ports of every protocol where one of the rules begins or ends. */
function* cellsOfPeer(rules: readonly LintedRule[], namedPorts: readonly NamedPort[]): Generator<Cell> {
  const numbers = namedPortNumbers(namedPorts)
  const sorted = [...rules].sort((a, b) => compareRules(a.rule, b.rule))
  const spans = new Map(sorted.map(rule => [rule, spansOf(rule.rule, numbers)]))
  const protocols = new Set([...spans.values()].flatMap(list => list.map(({ protocol }) => protocol)))
  for (const protocol of protocols.add(0)) {
    const own = [...spans].map(
      ([rule, list]) => [rule, list.filter(span => span.protocol === 0 || span.protocol === protocol)] as const,
    )
    const starts = new Set(own.flatMap(([, list]) => list.flatMap(({ first, last }) => [first, last + 1])))
    for (const port of starts) {
      const cell = own
        .filter(([, list]) => list.some(({ first, last }) => first <= port && port <= last))
        .map(([rule]) => rule)
      if (cell.length > 0) yield cell
    }
  }
}

/** A name that stands for no number here is a port of its own, apart from all numbers. */
function spansOf({ ports }: Rule, numbers: ReadonlyMap<string, number>): PortSpan[] {
  if (ports === 'any') return [{ protocol: 0, first: 0, last: NAMES_END }]
  return ports.map(({ protocol, ports: match }) => {
    if (match === 'any') return { protocol, first: 0, last: NAMES_END }
    if ('first' in match) {
      const { first, last } = allPortsOf(protocol)
      const isAll = match.first <= first && match.last >= last
      return { protocol, first: isAll ? 0 : match.first, last: isAll ? NAMES_END : match.last }
    }
    const number = numbers.get(namedPortKey({ name: match.name, protocol })) ?? numberOfName(match.name)
    return { protocol, first: number, last: number }
  })
}

const NAMES_START = 2 ** 17
const NAMES_END = 2 ** 40

/** Beyond all port numbers; two names seldom share one, and then only count as the same name. */
function numberOfName(name: string): number {
  let hash = 0
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % (NAMES_END - NAMES_START - 1)
  return NAMES_START + hash
}
