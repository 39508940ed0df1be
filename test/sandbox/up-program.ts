// A process that makes a sandbox with the given agent command and prints its steps, for tests that kill it.

import { defaultConfiguration, up } from '../../src/sandbox/index.ts'

const [name = '', agentCommand = '[]'] = process.argv.slice(2)
const configuration = { ...defaultConfiguration(name), agentCommand: JSON.parse(agentCommand) as string[] }
await up(configuration, { onStep: step => void process.stdout.write(`${step}\n`) })
