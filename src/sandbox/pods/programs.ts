// The files that every pod shares: the built-in application as plain JavaScript (so that no pod spends its start on
// compiling it), and `agnhost`, by which commands of the usual tests call it.

import fs from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import path from 'node:path'
import { POD_PROGRAMS, PROGRAMS } from '../paths.ts'

const AGNHOST = `#!/bin/sh\nexec ${POD_PROGRAMS.node} ${POD_PROGRAMS.app} "$@"\n`

export function writePodPrograms(podFiles: string): void {
  fs.mkdirSync(podFiles, { recursive: true })
  for (const { name, source } of [
    { name: path.basename(POD_PROGRAMS.app), source: PROGRAMS.app },
    ...PROGRAMS.appParts,
  ]) {
    const text = fs.readFileSync(source, 'utf8').replace(/'\.\/(app-[a-z]+)\.[jt]s'/g, "'./$1.mjs'")
    fs.writeFileSync(path.join(podFiles, name), source.endsWith('.ts') ? stripTypeScriptTypes(text) : text)
  }
  fs.writeFileSync(path.join(podFiles, 'agnhost'), AGNHOST, { mode: 0o755 })
}
