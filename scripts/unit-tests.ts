// Every unit test in one process, for `npm test`: there each file of test/ gets a process of its own, and this is the one in which
// the few hundred small tests run without paying for a start each.

import path from 'node:path'
import { ROOT } from './lib/root.js'
import { listSourceFiles } from './lib/source-files.ts'

const isUnitTest = (file: string): boolean => /^(src|bench|scripts)\/.*\.test\.ts$/.test(file)

for (const file of listSourceFiles(ROOT).filter(isUnitTest)) await import(path.join(ROOT, file))
