// `sandbox exec` as a process of its own, for tests that give it streams and a terminal.

import { sandboxExec } from '../../src/sandbox/commands.ts'

const [name = '', pod = '', ...command] = process.argv.slice(2)
process.exitCode = await sandboxExec({ name, pod, command }, process)
