// Checks the import rules over all TypeScript of the project. One line for each violation, with file and line, what is wrong and
// what is allowed; exit status 1 if there is any. The rules are in lib/import-rules.ts.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { IMPORT_RULES } from './lib/import-rules.ts'
import { checkImports } from './lib/imports.ts'
import { ROOT } from './lib/root.js'
import { listSourceFiles } from './lib/source-files.ts'

const files = listSourceFiles(ROOT).filter(file => /^(src|test|bench|scripts)\/.*\.ts$/.test(file))
const violations = files.flatMap(file => checkImports(file, readFileSync(path.join(ROOT, file), 'utf8'), IMPORT_RULES))

for (const { file, line, message } of violations) console.log(`${file}:${line}: ${message}`)
console.log(`${files.length} files, ${violations.length} violations`)
process.exitCode = violations.length > 0 || files.length === 0 ? 1 : 0
