// One probe of a container, asked again and again: tells when its verdict changes. Time and asking come from outside.

import { pause } from '../backoff.ts'
import type { ProbePlan } from './actions.ts'

/** While a probe does not pass it is asked this often at least, so that a pod need not wait for a long period; a command costs more. */
const EAGER_PERIOD_MS = { exec: 500, http: 100, tcp: 100, sleep: 500 } as const

/**
 * Until the signal is aborted.
 * @param ask one try: why it failed, undefined when it went well
 * @param onVerdict called when as many tries as the thresholds say went well, or did not, in a row; the first time and
 * each time after that when it differs. Returns false to end the loop.
 */
export async function runProbe(
  plan: ProbePlan,
  ask: (signal: AbortSignal) => Promise<string | undefined>,
  onVerdict: (isWell: boolean, reason: string | undefined) => boolean,
  signal: AbortSignal,
): Promise<void> {
  let verdict: boolean | undefined
  let row = { isWell: true, count: 0 }
  const eagerMs = Math.min(plan.periodMs, EAGER_PERIOD_MS[plan.action.kind])
  let failingSinceMs: number | undefined
  if (plan.initialDelayMs > 0 && !(await pause(plan.initialDelayMs, signal))) return
  for (;;) {
    const reason = await ask(signal)
    if (signal.aborted) return
    const isWell = reason === undefined
    row = row.isWell === isWell ? { isWell, count: row.count + 1 } : { isWell, count: 1 }
    const nowMs = performance.now()
    failingSinceMs = isWell ? undefined : (failingSinceMs ?? nowMs)
    const isDecided = isWell
      ? row.count >= plan.successThreshold
      : hasFailed(plan, row.count, nowMs - (failingSinceMs ?? nowMs), verdict !== true)
    if (isDecided && verdict !== isWell) {
      verdict = isWell
      if (!onVerdict(isWell, reason)) return
    }
    if (!(await pause(verdict === true ? plan.periodMs : eagerMs, signal))) return
  }
}

/** Eager tries do not use up the patience of the plan: failures then count by the time they have lasted. */
const hasFailed = (plan: ProbePlan, count: number, lastedMs: number, isEager: boolean): boolean =>
  isEager ? lastedMs >= (plan.failureThreshold - 1) * plan.periodMs : count >= plan.failureThreshold
