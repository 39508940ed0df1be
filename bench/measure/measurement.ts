// What every measurement is given, and what it gives back.

import type { Section } from '../harness/result.ts'
import type { Testbed } from '../testbed/testbed.ts'

export type Effort = {
  /** Interleaved rounds of what is compared with a yardstick. */
  readonly rounds: number
  /** Of one load run. */
  readonly loadSeconds: number
  readonly policyChanges: number
  readonly endpoints: number
  /** Restarts of the agent, of each kind. */
  readonly restarts: number
  readonly events: number
  /** Processes that resolve everything from nothing. */
  readonly engineProcesses: number
  /** Of policies, and of pods, in the policy engine alone. */
  readonly engineChanges: number
  /** Numbers of services that are there, ascending. */
  readonly serviceCounts: readonly number[]
  /** Interleaved rounds of what services are compared by. */
  readonly serviceRounds: number
  /** Of one endpoint, and of one service. */
  readonly serviceChanges: number
  /** Interleaved rounds, of at most a second each, of HTTP, DNS and Kafka. */
  readonly l7Rounds: number
  /** Of one rule; four times as many under load. */
  readonly l7Changes: number
  /** In which names are asked for and connected to. */
  readonly l7Seconds: number
}

export const FULL: Effort = {
  rounds: 40,
  loadSeconds: 0.15,
  policyChanges: 200,
  endpoints: 60,
  restarts: 4,
  events: 4_000_000,
  engineProcesses: 5,
  engineChanges: 300,
  serviceCounts: [1, 100, 1000, 10_000],
  serviceRounds: 15,
  serviceChanges: 30,
  l7Rounds: 9,
  l7Changes: 100,
  l7Seconds: 30,
}

export const QUICK: Effort = {
  rounds: 8,
  loadSeconds: 0.1,
  policyChanges: 60,
  endpoints: 20,
  restarts: 1,
  events: 1_000_000,
  engineProcesses: 2,
  engineChanges: 100,
  serviceCounts: [1, 100, 1000, 10_000],
  serviceRounds: 5,
  serviceChanges: 10,
  l7Rounds: 3,
  l7Changes: 20,
  l7Seconds: 5,
}

export type Context = {
  readonly effort: Effort
  readonly signal: AbortSignal
  /** Shows what is being done. */
  readonly say: (step: string) => void
}

/** Measures with 50 pods in the sandbox. */
export type TestbedMeasurement = (testbed: Testbed, context: Context) => Promise<Section>

/** Brings its own surroundings. */
export type OwnMeasurement = (context: Context) => Promise<Section>

export const PODS = 50
