// Compiles regular expressions into one program for a machine without backtracking
// (Thompson, "Regular expression search algorithm", 1968, in Pike's form): it runs over a
// text once and says which of the expressions match the whole of it. Characters that no
// expression tells apart are one class. Sizes are bounded.

import { ASCII_SIZE, type Assertion, type CharacterSet, hasCode, type Regex, setOf, WORD_CHARACTERS } from './syntax.ts'

export type Instruction =
  /** Takes a character of set number `set`, and goes on at the next instruction. */
  | { readonly kind: 'take'; readonly set: number }
  | { readonly kind: 'fork'; readonly to: number; readonly and: number }
  | { readonly kind: 'jump'; readonly to: number }
  | { readonly kind: 'assert'; readonly assertion: Assertion }
  /** The text matches expression number `pattern` if it ends here. */
  | { readonly kind: 'match'; readonly pattern: number }

/** What an assertion can tell of a character. `edge` is before the first and after the last. */
export const NEIGHBOURS = ['edge', 'word', 'newline', 'other'] as const
export type Neighbour = (typeof NEIGHBOURS)[number]

export type RegexProgram = {
  readonly instructions: readonly Instruction[]
  /** Class of each ASCII character, counted from 0. */
  readonly classes: Uint8Array
  /** Of each class. All `other` where nothing asserts anything. */
  readonly neighbours: readonly Neighbour[]
  /** Classes in each set. */
  readonly sets: readonly (readonly number[])[]
}

/** Of one expression. */
export const MAX_PROGRAM_SIZE = 20_000

/** @returns undefined when the program would have more than `maxSize` instructions */
export function compileRegexes(regexes: readonly Regex[], maxSize = MAX_PROGRAM_SIZE): RegexProgram | undefined {
  const builder = new ProgramBuilder(maxSize)
  for (const [pattern, regex] of regexes.entries()) {
    if (builder.full) return undefined
    builder.pattern(regex, pattern, pattern === regexes.length - 1)
  }
  return builder.full ? undefined : builder.build()
}

/** Whether its program alone would have more than `MAX_PROGRAM_SIZE` instructions. Costs much less than to compile it. */
export function isTooLarge(regex: Regex): boolean {
  const builder = new ProgramBuilder(MAX_PROGRAM_SIZE)
  builder.pattern(regex, 0, true)
  return builder.full
}

class ProgramBuilder {
  readonly #maxSize: number
  readonly #instructions: Instruction[] = []
  readonly #numberOfSet = new Map<CharacterSet, number>()
  #asserts = false

  constructor(maxSize: number) {
    this.#maxSize = maxSize
  }

  get full(): boolean {
    return this.#instructions.length > this.#maxSize
  }

  pattern(regex: Regex, pattern: number, last: boolean): void {
    const fork = last ? undefined : this.#reserve()
    this.#add(regex)
    this.#emit({ kind: 'match', pattern })
    if (fork !== undefined) this.#instructions[fork] = { kind: 'fork', to: fork + 1, and: this.#instructions.length }
  }

  build(): RegexProgram {
    const sets = [...this.#numberOfSet.keys()]
    const told = this.#asserts ? [...sets, WORD_CHARACTERS, setOf('\n')] : sets
    const numberOfMembership = new Map<string, number>()
    const classes = new Uint8Array(ASCII_SIZE)
    const first: number[] = []
    for (let code = 0; code < ASCII_SIZE; code++) {
      const membership = told.map(set => (hasCode(set, code) ? '1' : '0')).join('')
      const number = numberOfMembership.get(membership) ?? numberOfMembership.size
      if (number === numberOfMembership.size) {
        numberOfMembership.set(membership, number)
        first.push(code)
      }
      classes[code] = number
    }
    return {
      instructions: this.#instructions,
      classes,
      neighbours: first.map(code => (this.#asserts ? neighbourOf(code) : 'other')),
      sets: sets.map(set => [...first.keys()].filter(number => hasCode(set, first[number] ?? 0))),
    }
  }

  #emit(instruction: Instruction): void {
    this.#instructions.push(instruction)
  }

  /** A place for an instruction that is known later. */
  #reserve(): number {
    return this.#instructions.push({ kind: 'jump', to: 0 }) - 1
  }

  #add(regex: Regex): void {
    // What is too large is refused by the caller; until then it must not grow further.
    if (this.full) return
    if (regex.kind === 'set') this.#emit({ kind: 'take', set: this.#set(regex.set) })
    else if (regex.kind === 'sequence') for (const part of regex.parts) this.#add(part)
    else if (regex.kind === 'alternatives') this.#addAlternatives(regex.parts)
    else if (regex.kind === 'repeat') this.#addRepeat(regex.part, regex.min, regex.max)
    else {
      this.#asserts = true
      this.#emit({ kind: 'assert', assertion: regex.assertion })
    }
  }

  #addAlternatives(parts: readonly Regex[]): void {
    const ends: number[] = []
    for (const [index, part] of parts.entries()) {
      if (index === parts.length - 1) {
        this.#add(part)
        continue
      }
      const fork = this.#reserve()
      this.#add(part)
      ends.push(this.#reserve())
      this.#instructions[fork] = { kind: 'fork', to: fork + 1, and: this.#instructions.length }
    }
    for (const end of ends) this.#instructions[end] = { kind: 'jump', to: this.#instructions.length }
  }

  #addRepeat(part: Regex, min: number, max: number | undefined): void {
    for (let count = 0; count < min; count++) this.#add(part)
    if (max === undefined) {
      const fork = this.#reserve()
      this.#add(part)
      this.#emit({ kind: 'jump', to: fork })
      this.#instructions[fork] = { kind: 'fork', to: fork + 1, and: this.#instructions.length }
      return
    }
    const forks: number[] = []
    for (let count = min; count < max && !this.full; count++) {
      forks.push(this.#reserve())
      this.#add(part)
    }
    for (const fork of forks) this.#instructions[fork] = { kind: 'fork', to: fork + 1, and: this.#instructions.length }
  }

  #set(set: CharacterSet): number {
    const number = this.#numberOfSet.get(set) ?? this.#numberOfSet.size
    this.#numberOfSet.set(set, number)
    return number
  }
}

function neighbourOf(code: number): Neighbour {
  if (code === 10) return 'newline'
  return hasCode(WORD_CHARACTERS, code) ? 'word' : 'other'
}
