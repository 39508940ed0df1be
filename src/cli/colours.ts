// Colours for people: only where standard output is a terminal, and NO_COLOR is not set
// (https://no-color.org). What a program reads, in CI too, has none.

import { isatty } from 'node:tty'
import picocolors from 'picocolors'

const STANDARD_OUTPUT = 1

export const colours = picocolors.createColors(isatty(STANDARD_OUTPUT) && !process.env['NO_COLOR'])
