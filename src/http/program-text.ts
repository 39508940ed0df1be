// The rules of a set as a text for the judge in Lua (src/proxy/haproxy/judge.lua), which
// reads it once. Made of letters, digits and a few signs, so that it can be the value of
// a map's entry. Its parts, between `|`:
//
//   M, P, H, then a program: expressions for methods, paths, hosts
//     = class of each of 128 characters, two hexadecimal digits each; comma;
//       what assertions see in each class (e w n o); comma;
//       sets, between `/`: ranges of classes such as 0-3.7; comma;
//       instructions, between `.`: tSET fTO_AND jTO aASSERTION mEXPRESSION
//   R, then a rule = its place; comma; numbers of its expressions for method, path, host, or nothing, a comma after
//       each; headers, between `/`: name:mismatch:value with name and value in hexadecimal, `*` for any, `!` for unknown

import type { HttpRule } from '../policy/index.ts'
import { compileRegexes, type Instruction, type Regex, type RegexProgram } from '../regex/index.ts'
import { fieldPatterns, HTTP_FIELDS, type HttpField, type SecretValue, wantedValue } from './compiled-rule.ts'

const LETTER_OF: Readonly<Record<HttpField, string>> = { method: 'M', path: 'P', host: 'H' }

/** Instructions of all expressions of a set for one field: Lua reads them in a fraction of a second. */
const MAX_SIZE_OF_SET = 200_000

/** @returns undefined when a program would be too large */
export function programText(
  rules: readonly HttpRule[],
  places: readonly number[],
  secretValue: SecretValue,
): string | undefined {
  const tables = { method: new PatternTable(), path: new PatternTable(), host: new PatternTable() }
  const lines: string[] = []
  for (const place of places) {
    const rule = rules[place]
    if (!rule) continue
    const patterns = fieldPatterns(rule)
    const numbers = HTTP_FIELDS.map(field => tables[field].numberOf(rule[field], patterns[field]))
    lines.push(`R${place},${numbers.join(',')},${headersText(rule, secretValue)}`)
  }
  const programs: string[] = []
  for (const field of HTTP_FIELDS) {
    const { regexes } = tables[field]
    const program = compileRegexes(regexes, MAX_SIZE_OF_SET)
    if (!program) return undefined
    if (regexes.length > 0) programs.push(LETTER_OF[field] + textOfProgram(program))
  }
  return [...programs, ...lines].join('|')
}

/** Rules that say the same of a field share an expression. */
class PatternTable {
  readonly regexes: Regex[] = []
  readonly #numbers = new Map<string, number>()

  numberOf(text: string | undefined, regex: Regex | undefined): number | '' {
    if (text === undefined || !regex) return ''
    const number = this.#numbers.get(text) ?? this.regexes.push(regex) - 1
    this.#numbers.set(text, number)
    return number
  }
}

function headersText(rule: HttpRule, secretValue: SecretValue): string {
  const headers = rule.headers.map(match => {
    const wanted = wantedValue(match, secretValue)
    const value = wanted.kind === 'value' ? hexOf(wanted.value) : wanted.kind === 'any' ? '*' : '!'
    return `${hexOf(match.name)}:${match.mismatch}:${value}`
  })
  return headers.join('/')
}

function textOfProgram({ classes, neighbours, sets, instructions }: RegexProgram): string {
  const parts = [
    Array.from(classes, number => number.toString(16).padStart(2, '0')).join(''),
    neighbours.map(name => name.charAt(0)).join(''),
    sets.map(rangesOf).join('/'),
    instructions.map(textOfInstruction).join('.'),
  ]
  return parts.join(',')
}

function textOfInstruction(instruction: Instruction): string {
  switch (instruction.kind) {
    case 'take':
      return `t${instruction.set}`
    case 'fork':
      return `f${instruction.to}_${instruction.and}`
    case 'jump':
      return `j${instruction.to}`
    case 'assert':
      return `a${instruction.assertion}`
    case 'match':
      return `m${instruction.pattern}`
    default:
      return instruction satisfies never
  }
}

/** Ascending numbers as ranges. */
function rangesOf(numbers: readonly number[]): string {
  const ranges: [first: number, last: number][] = []
  for (const number of numbers) {
    const last = ranges.at(-1)
    if (last?.[1] === number - 1) last[1] = number
    else ranges.push([number, number])
  }
  return ranges.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join('.')
}

/** UTF-8, as it is sent. */
const hexOf = (text: string): string =>
  Array.from(new TextEncoder().encode(text), byte => byte.toString(16).padStart(2, '0')).join('')
