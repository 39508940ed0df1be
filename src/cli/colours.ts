// Colours for people: only where standard output is a terminal, and NO_COLOR is not set
// (https://no-color.org). What a program reads, in CI too, has none.

import picocolors from 'picocolors'

export const colours = picocolors.createColors(Boolean(process.stdout.isTTY) && !process.env['NO_COLOR'])
