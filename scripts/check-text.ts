// Checks that every source file opens with a comment saying what it is for, and that relative links in documents lead somewhere.
// One line for each problem; exit status 1 if there is any. The rules are in lib/text-rules.ts.

import { readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { ROOT } from './lib/root.js'
import { listSourceFiles } from './lib/source-files.ts'
import { checkHeader, checkLinks } from './lib/text-rules.ts'

const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8')

function readDocument(file: string): string | undefined {
  if (!statSync(path.join(ROOT, file), { throwIfNoEntry: false })) return undefined
  return file.endsWith('.md') ? read(file) : ''
}

const files = listSourceFiles(ROOT)
const sources = files.filter(file => /\.(ts|js|c|h)$/.test(file))
const documents = files.filter(file => file.endsWith('.md'))
const problems = [
  ...sources.flatMap(file => checkHeader(file, read(file))),
  ...documents.flatMap(file => checkLinks(file, read(file), readDocument)),
]

for (const { file, line, message } of problems) console.log(`${file}:${line}: ${message}`)
console.log(`${sources.length} source files, ${documents.length} documents, ${problems.length} problems`)
process.exitCode = problems.length > 0 ? 1 : 0
