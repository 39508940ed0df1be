// Runs a program as a deterministic automaton that is made as texts ask for it (a lazy
// DFA, as in RE2): each character costs one look into a table, or at worst one pass over
// the program, so the time is linear in the text whatever the expressions are. The table
// is bounded and begins anew when it is full. HAProxy's Lua has the same algorithm.

import { NEIGHBOURS, type Neighbour, type RegexProgram } from './program.ts'
import { ASCII_SIZE, type Assertion } from './syntax.ts'

type State = {
  /** Instructions to go on from, ascending, before what follows without a character. */
  readonly heads: readonly number[]
  readonly before: Neighbour
  readonly next: (State | undefined)[]
  accepted: readonly number[] | undefined
}

const MAX_STATES = 2_000

export class RegexMatcher {
  readonly #program: RegexProgram
  readonly #takes: readonly ReadonlySet<number>[]
  #states = new Map<string, State>()

  constructor(program: RegexProgram) {
    this.#program = program
    this.#takes = program.sets.map(set => new Set(set))
  }

  /** Numbers of the expressions that match the whole text, ascending. A text that is not ASCII matches none. */
  match(text: string): readonly number[] {
    const { classes } = this.#program
    let state = this.#state([0], 'edge')
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index)
      if (code >= ASCII_SIZE || state.heads.length === 0) return []
      const number = classes[code] ?? 0
      state = state.next[number] ??= this.#step(state, number)
    }
    return (state.accepted ??= this.#accepted(state))
  }

  #state(heads: readonly number[], before: Neighbour): State {
    const key = `${NEIGHBOURS.indexOf(before)},${heads.join()}`
    const known = this.#states.get(key)
    if (known) return known
    // Older states stay alive only as long as a text is in them.
    if (this.#states.size >= MAX_STATES) this.#states = new Map()
    const state: State = { heads, before, next: [], accepted: undefined }
    this.#states.set(key, state)
    return state
  }

  #step(state: State, number: number): State {
    const after = this.#program.neighbours[number] ?? 'other'
    const heads: number[] = []
    for (const at of this.#closure(state, after)) {
      const instruction = this.#program.instructions[at]
      if (instruction?.kind === 'take' && this.#takes[instruction.set]?.has(number)) heads.push(at + 1)
    }
    return this.#state(heads, after)
  }

  #accepted(state: State): readonly number[] {
    const patterns: number[] = []
    for (const at of this.#closure(state, 'edge')) {
      const instruction = this.#program.instructions[at]
      if (instruction?.kind === 'match') patterns.push(instruction.pattern)
    }
    return patterns
  }

  /** What is reached without a character, ascending. */
  #closure(state: State, after: Neighbour): number[] {
    const { instructions } = this.#program
    const seen = new Set<number>()
    const waiting = [...state.heads]
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      if (seen.has(at)) continue
      seen.add(at)
      const instruction = instructions[at]
      if (instruction?.kind === 'jump') waiting.push(instruction.to)
      else if (instruction?.kind === 'fork') waiting.push(instruction.to, instruction.and)
      else if (instruction?.kind === 'assert' && holds(instruction.assertion, state.before, after)) waiting.push(at + 1)
    }
    return [...seen].sort((a, b) => a - b)
  }
}

function holds(assertion: Assertion, before: Neighbour, after: Neighbour): boolean {
  switch (assertion) {
    case 'beginText':
      return before === 'edge'
    case 'endText':
      return after === 'edge'
    case 'beginLine':
      return before === 'edge' || before === 'newline'
    case 'endLine':
      return after === 'edge' || after === 'newline'
    case 'wordEdge':
      return (before === 'word') !== (after === 'word')
    case 'noWordEdge':
      return (before === 'word') === (after === 'word')
    default:
      return assertion satisfies never
  }
}
