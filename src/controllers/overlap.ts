// What an old and a new policy both allow. While a change spreads over several policy
// maps and addresses, packets are judged by this: what one of the two denies stays
// denied until all of them have arrived at the new, and what one of them has judged
// further is judged. A denial that is only recorded lets packets pass, so it counts as
// allowing here. Pure.

import {
  ANY_PEER,
  DEFAULT_DENY,
  DIRECTIONS,
  type Direction,
  type KeyedL7Rules,
  languageOf,
  type PolicyEntry,
} from '../policy/index.ts'

export type Overlap = {
  /** Allow exactly what both allow. What is recorded and the rules named are those of the new policy where it has any. */
  readonly entries: readonly PolicyEntry[]
  /** Directions in which the new policy denies something that the old one allows. */
  readonly closes: ReadonlySet<Direction>
  /** Directions in which it allows something that the old one denies. */
  readonly opens: ReadonlySet<Direction>
}

/** @param before and `after` as a policy map holds them: look-up as in `PolicyEntry` */
export function overlap(before: readonly PolicyEntry[], after: readonly PolicyEntry[]): Overlap {
  const parts = DIRECTIONS.map(direction => new DirectionOverlap(direction, before, after))
  const directions = (holds: (part: DirectionOverlap) => boolean): Set<Direction> =>
    new Set(parts.filter(holds).map(part => part.direction))
  return {
    entries: parts.flatMap(part => part.entries),
    closes: directions(part => part.closes),
    opens: directions(part => part.opens),
  }
}

/** A prefix of protocol and port: what a key of a policy map names beside direction and identity. */
type Cell = Pick<PolicyEntry, 'protocol' | 'port' | 'portPrefixLength'>
/** Entries of one direction and identity. */
type Cells = ReadonlyMap<number, PolicyEntry>

const NOTHING: Cells = new Map()
const ALL: Cell = { protocol: 0, port: 0, portPrefixLength: 0 }
/** An identity's own entries here are complete where they say anything, so they stand above those for any peer. */
const OWN_PRECEDENCE = 0xffff_ffff
const ANY_PRECEDENCE = 1

class DirectionOverlap {
  readonly entries: PolicyEntry[] = []
  closes = false
  opens = false
  readonly direction: Direction
  readonly #before: ReadonlyMap<number, Cells>
  readonly #after: ReadonlyMap<number, Cells>
  readonly #anyIsSame: boolean

  constructor(direction: Direction, before: readonly PolicyEntry[], after: readonly PolicyEntry[]) {
    this.direction = direction
    this.#before = byIdentity(before, direction)
    this.#after = byIdentity(after, direction)
    this.#anyIsSame = isSame(this.#cellsBefore(ANY_PEER), this.#cellsAfter(ANY_PEER))
    const forAny = this.#anyIsSame ? this.#cellsAfter(ANY_PEER) : this.#combine(ANY_PEER, NOTHING)
    this.entries.push(...forAny.values())
    for (const identity of new Set([...this.#before.keys(), ...this.#after.keys()])) {
      if (identity === ANY_PEER) continue
      const own = this.#cellsAfter(identity)
      const isUntouched = this.#anyIsSame && isSame(this.#cellsBefore(identity), own)
      this.entries.push(...(isUntouched ? own : this.#combine(identity, forAny)).values())
    }
  }

  #cellsBefore(identity: number): Cells {
    return this.#before.get(identity) ?? NOTHING
  }

  #cellsAfter(identity: number): Cells {
    return this.#after.get(identity) ?? NOTHING
  }

  /** The entries of one identity. @param forAny those for any peer that stand beside them */
  #combine(identity: number, forAny: Cells): Cells {
    const result = new Map<number, PolicyEntry>()
    for (const cell of this.#cellsOf(identity)) {
      const before = decide(this.#cellsBefore(identity), this.#cellsBefore(ANY_PEER), cell)
      const after = decide(this.#cellsAfter(identity), this.#cellsAfter(ANY_PEER), cell)
      const meeting = meet(before, after)
      this.closes ||= meeting.closes
      this.opens ||= meeting.opens
      const wanted = outcomeOf(meeting.allowed)
      // Broad cells come first, so what would answer without an entry here is known.
      if (outcomeOf(longestMatch(result, cell) ?? longestMatch(forAny, cell)) === wanted) continue
      const denier = [after, before].find(entry => entry && !isOpen(entry))
      const { allowed } = meeting
      result.set(cellKey(cell), {
        direction: this.direction,
        identity,
        ...pick(cell),
        verdict: wanted === 'deny' || wanted === 'audit' ? 'deny' : 'allow',
        precedence: identity === ANY_PEER ? ANY_PRECEDENCE : OWN_PRECEDENCE,
        rule: (allowed ?? denier)?.rule ?? DEFAULT_DENY,
        ...(allowed?.treatment && { treatment: allowed.treatment }),
      })
    }
    return result
  }

  /** Where the answer for an identity may change, the broadest first. */
  #cellsOf(identity: number): Cell[] {
    const own = new Map<number, PolicyEntry>([...this.#cellsBefore(identity), ...this.#cellsAfter(identity)])
    const forAny = [...this.#cellsBefore(ANY_PEER), ...this.#cellsAfter(ANY_PEER)]
    const cells = new Map<number, Cell>(own)
    // Outside of its own cells an identity has the answer for any peer.
    for (const [key, cell] of forAny) if (!this.#anyIsSame || longestMatch(own, cell)) cells.set(key, cell)
    if (!this.#anyIsSame) cells.set(cellKey(ALL), ALL)
    return [...cells.values()].sort(
      (a, b) => Math.sign(a.protocol) - Math.sign(b.protocol) || a.portPrefixLength - b.portPrefixLength,
    )
  }
}

/** Two outcomes are the same exactly where packets fare alike: `rules KEY` is an allowance that is judged further. */
type Outcome = 'allow' | 'audit' | 'deny' | `rules ${string}`

function outcomeOf(entry: PolicyEntry | undefined): Outcome {
  const { l7, audit } = entry?.treatment ?? {}
  if (entry?.verdict === 'allow') return l7 ? `rules ${l7.key}` : 'allow'
  return audit ? 'audit' : 'deny'
}

const isOpen = (entry: PolicyEntry | undefined): boolean => outcomeOf(entry) !== 'deny'

type Meeting = {
  /** The one whose outcome both allow; undefined: none. */
  readonly allowed: PolicyEntry | undefined
  readonly closes: boolean
  readonly opens: boolean
}

/**
 * What an old and a new answer both allow. Rules for what is said only change the next request, so other rules of the
 * same language are in force at once: nobody knows what two sets of them both allow, and to deny it would cut for nothing.
 */
function meet(before: PolicyEntry | undefined, after: PolicyEntry | undefined): Meeting {
  if (!before || !after || !isOpen(before) || !isOpen(after)) {
    const [wasOpen, becomesOpen] = [isOpen(before), isOpen(after)]
    return { allowed: undefined, closes: wasOpen && !becomesOpen, opens: !wasOpen && becomesOpen }
  }
  const [old, next] = [enforcedRules(before), enforcedRules(after)]
  if (old && !next) return { allowed: before, closes: false, opens: true }
  if (!old || !next) return { allowed: after, closes: next !== undefined, opens: false }
  const isSpoken = languageOf(old.rules) === languageOf(next.rules)
  return { allowed: isSpoken ? after : undefined, closes: !isSpoken, opens: !isSpoken }
}

/** Those that are only tried out deny nothing. */
function enforcedRules({ treatment }: PolicyEntry): KeyedL7Rules | undefined {
  return treatment?.l7?.rules.audit ? undefined : treatment?.l7
}

const pick = ({ protocol, port, portPrefixLength }: Cell): Cell => ({ protocol, port, portPrefixLength })

function byIdentity(entries: readonly PolicyEntry[], direction: Direction): Map<number, Cells> {
  const identities = new Map<number, Map<number, PolicyEntry>>()
  for (const entry of entries) {
    if (entry.direction !== direction) continue
    const cells = identities.get(entry.identity) ?? new Map<number, PolicyEntry>()
    identities.set(entry.identity, cells.set(cellKey(entry), entry))
  }
  return identities
}

function isSame(before: Cells, after: Cells): boolean {
  if (before.size !== after.size) return false
  return before.entries().every(([key, entry]) => {
    const other = after.get(key)
    return other !== undefined && outcomeOf(other) === outcomeOf(entry) && other.precedence === entry.precedence
  })
}

/** The entry that decides for all of a cell but the narrower cells in it. */
function decide(own: Cells, forAny: Cells, cell: Cell): PolicyEntry | undefined {
  const specific = longestMatch(own, cell)
  const any = longestMatch(forAny, cell)
  if (!specific || !any) return specific ?? any
  return any.precedence > specific.precedence ? any : specific
}

function longestMatch(cells: Cells, { protocol, port, portPrefixLength }: Cell): PolicyEntry | undefined {
  if (cells.size === 0) return undefined
  const longest = protocol === 0 ? -1 : portPrefixLength
  for (let length = longest; length >= 0; length--) {
    const entry = cells.get(cellKey({ protocol, port: port & (0xffff << (16 - length)), portPrefixLength: length }))
    if (entry) return entry
  }
  return cells.get(cellKey(ALL))
}

const cellKey = ({ protocol, port, portPrefixLength }: Cell): number =>
  (protocol * 17 + portPrefixLength) * 65536 + (port & 0xffff)
