// Extended regular expressions in RE2's dialect, for ASCII texts: parsed, compiled,
// matched in linear time. Pure, and below everything that has patterns.

export { type Literal, literalsOf } from './literals.ts'
export { RegexMatcher } from './matcher.ts'
export { parseRegex } from './parse.ts'
export { compileRegexes, isTooLarge, MAX_PROGRAM_SIZE } from './program.ts'
export { rangeSet } from './syntax.ts'
