// What becomes of the connections of one pair over many ports: runs of ports with the
// same outcome by the same rules.

import { type ConnectionVerdict, rulesOf } from '../engine/evaluate.ts'
import { DIRECTIONS } from '../model/rule.ts'
import type { End } from './cluster.ts'
import { type Judge, type Outcome, outcomeOf } from './judge.ts'
import type { PortClass } from './port-classes.ts'

export type OutcomeRegion = PortClass & {
  readonly outcome: Outcome
  /** Of its first port; the same rules decide for all of them. */
  readonly verdict: ConnectionVerdict
}

/** `classes` by protocol and port, as `portClasses` gives them. */
export function outcomeRegions(judge: Judge, from: End, to: End, classes: readonly PortClass[]): OutcomeRegion[] {
  const judged = judge.between(from, to)
  const regions: OutcomeRegion[] = []
  for (const portClass of classes) {
    const verdict = judged(portClass.protocol, portClass.first)
    const outcome = outcomeOf(verdict)
    const previous = regions.at(-1)
    const joins = previous && isNext(previous, portClass) && previous.outcome === outcome
    if (joins && sameRules(previous.verdict, verdict))
      regions[regions.length - 1] = { ...previous, last: portClass.last }
    else regions.push({ ...portClass, outcome, verdict })
  }
  return regions
}

/** Whether a run of ports goes on in another of the same protocol. */
export function isNext(previous: PortClass, next: PortClass): boolean {
  return previous.protocol === next.protocol && previous.last + 1 === next.first
}

function sameRules(a: ConnectionVerdict, b: ConnectionVerdict): boolean {
  return DIRECTIONS.every(direction => {
    const [one, other] = [a[direction], b[direction]]
    return one?.entry?.rule === other?.entry?.rule && rulesOf(one) === rulesOf(other)
  })
}
