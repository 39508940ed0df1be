// Extended regular expressions in RE2's dialect, for ASCII texts: parsed, compiled,
// matched in linear time. Pure, and below everything that has patterns.

export { type Literal, literalsOf, plainLiteral } from './literals.ts'
export { RegexMatcher } from './matcher.ts'
export { parseRegex } from './parse.ts'
export { compileRegexes, type Instruction, isTooLarge, MAX_PROGRAM_SIZE, type RegexProgram } from './program.ts'
export { type Regex, rangeSet } from './syntax.ts'
