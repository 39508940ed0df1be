// What an explanation says, as data: who asks for what, the verdict, what each end's
// policies say of it, rule by rule, and what would change it. Made by explain.ts; the
// words for people are the command line's.

import type { Outcome } from '../cluster/judge.ts'
import type { L7Lines, L7Rules } from '../model/l7.ts'
import type { Action, Audit, Direction, Origin, Tier } from '../model/rule.ts'

/** Why a connection is allowed or denied, and what would turn that round. */
export type Explanation = {
  readonly from: ExplainedEnd
  readonly to: ExplainedEnd
  /** `TCP`, `ICMPv6`. */
  readonly protocol: string
  /** For ICMP the type. */
  readonly port: number
  readonly verdict: Outcome
  readonly egress: Side
  readonly ingress: Side
  /** What else is to be known of it. */
  readonly notes: readonly string[]
  /** What would turn the verdict round. */
  readonly change: Change
}

/** Who stands at one end of a connection. */
export type ExplainedEnd = {
  readonly kind: 'pod' | 'node' | 'world'
  /** `NAMESPACE/POD`, `node NAME`, or the address. */
  readonly name: string
  readonly address: string
  /** As in `identityName`: `shop/web`, `host`, `world 10.0.0.0/8`. */
  readonly identity: string
  readonly labels: readonly string[]
}

/** Of a policy object. `audit`: what it denies is recorded and passes. */
export type PolicyView = Origin & Audit & { readonly kind: string; readonly namespace: string; readonly name: string }

/** Of a rule: whose, where it stands, what it does, and how strong it is. */
export type RuleView = Origin &
  Audit & {
    readonly policy: PolicyView
    /** Field of the object, such as `ingress[0]`. */
    readonly path: string
    readonly direction: Direction
    readonly index: number
    readonly action: Action
    readonly tier: Tier
    /** Inside the tier; the lower is the stronger. */
    readonly priority: number
    readonly precedence: number
    readonly log?: string | undefined
    /** Of a rule for what is said. */
    readonly l7?: L7Rules | undefined
    /** Where these stand. */
    readonly l7Lines?: L7Lines | undefined
  }

/**
 * - `decides`: the verdict is this rule's
 * - `tie`: as strong as the one that decides, and says the same
 * - `judges`: allows it as the one that decides does, and adds its rules for what is said
 * - `lifted`: its rules for what is said do not count, since one as strong has none
 * - `conflicts`: as strong as another, and nobody can judge by its rules for what is said and the other's: of another protocol, or with TLS that ends in another way
 * - `passes`: ends the search in its tier, which goes on in the next
 * - `skipped`: not asked, since a pass rule ended its tier, or the baseline tier is not asked
 * - `audited`: is only tried out; what is enforced has decided
 * - `shadowed`: would match, but a stronger rule has decided
 */
export type MatchRole =
  | 'decides'
  | 'tie'
  | 'judges'
  | 'lifted'
  | 'conflicts'
  | 'passes'
  | 'skipped'
  | 'audited'
  | 'shadowed'

/** A rule that matches the connection. */
export type MatchingRule = RuleView & { readonly role: MatchRole }

/** A rule of an isolating policy that does not match, and every reason why. */
export type MissedRule = RuleView & { readonly because: readonly Miss[] }

/** `wants` and `has` in words, such as `app = web` and `app = db`. */
export type Miss = { readonly part: 'peer' | 'port'; readonly wants: string; readonly has: string }

/** What decides at one end: a rule, or the default. */
export type Decision =
  | { readonly kind: 'rule'; readonly rule: RuleView }
  /** No rule allows it, and policies isolate the pod: `isolatedBy` of the side; where there are none, the mode `always` does. */
  | { readonly kind: 'default-deny' }
  | { readonly kind: 'not-isolated' }
  /** Rules about the same peer and port that nobody can judge by at once: of different protocols, or with TLS that ends in different ways. */
  | { readonly kind: 'conflict'; readonly rules: readonly RuleView[] }

/**
 * Why no policy is asked at an end.
 * - `outside`: it is no pod of the cluster
 * - `node`: it is a node, or a pod on its network
 * - `own-node`: a process of the pod's own node is always let in
 * - `itself`: what a pod sends to itself never leaves it
 */
export type Unjudged = 'outside' | 'node' | 'own-node' | 'itself'

/** What the policies of one end say. */
export type Side =
  | { readonly judged: false; readonly because: Unjudged }
  | {
      readonly judged: true
      /** Whose policies: `NAMESPACE/POD`. */
      readonly pod: string
      readonly verdict: Outcome
      readonly decision: Decision
      /** Those that judge what is said, where the verdict is `judged`. */
      readonly rules?: L7Rules | undefined
      /** Policies that deny the pod what no rule allows. */
      readonly isolatedBy: readonly PolicyView[]
      /** Strongest first. */
      readonly matching: readonly MatchingRule[]
      /** Nearest first, the first few. */
      readonly missed: readonly MissedRule[]
      readonly missedCount: number
    }

/** An end whose policies are asked. */
export type JudgedSide = Extract<Side, { readonly judged: true }>

/** For what is allowed a denial, for what is denied, or would be, an allowance. */
export type Change =
  | {
      readonly to: 'allow' | 'deny'
      readonly possible: true
      /** Whole objects, to be applied together. */
      readonly objects: readonly object[]
      /** The same as text. */
      readonly yaml: string
      /** What else flips, the first of it. */
      readonly also: readonly Flip[]
      readonly alsoCount: number
      /** The asked end is the world as a whole, so that every address outside is meant. */
      readonly world: boolean
      /** The same by a rule in a policy that is there already, for each side that denies. */
      readonly instead: readonly AddedRule[]
    }
  | { readonly to: 'allow' | 'deny'; readonly possible: false; readonly because: string }

/** A connection on the same port whose verdict changes too. */
export type Flip = { readonly from: string; readonly to: string; readonly family: 4 | 6 }

/** `yaml`: one item for the list at `path`. */
export type AddedRule = { readonly policy: PolicyView; readonly path: string; readonly yaml: string }
