// The command line. Every command stands in a file of its own; here they come together,
// and here an error becomes one clear line and an exit code.

import { Command } from 'commander'
import { agentCommand } from './agent-command.ts'
import { colours as pc } from './colours.ts'
import { completeCommand, completionCommand } from './completion.ts'
import { crdsCommand } from './crds-command.ts'
import { demoCommand } from './demo-command.ts'
import { explainError } from './errors.ts'
import { fqdnCommand } from './fqdn-command.ts'
import { bpfCommand, statusCommand, tableCommand, tablesCommand } from './look-commands.ts'
import { applyCommand, deleteCommand, getCommand } from './object-commands.ts'
import { observeCommand } from './observe-command.ts'
import { policyCommand } from './policy-command.ts'
import { proxyCommand } from './proxy-command.ts'
import { sandboxCommand } from './sandbox-command.ts'
import { servicesCommand } from './services-command.ts'
import { VERSION } from './version.ts'

const program = new Command('axoneme')
  .description('eBPF networking and security for Kubernetes')
  .version(VERSION)
  .showHelpAfterError('(--help shows what there is)')
  .showSuggestionAfterError()
  .enablePositionalOptions()
  .addCommand(statusCommand())
  .addCommand(observeCommand())
  .addCommand(tableCommand('endpoints', 'endpoints', 'the pods of a node'))
  .addCommand(tableCommand('identities', 'identities', 'security identities in use on a node'))
  .addCommand(policyCommand())
  .addCommand(servicesCommand())
  .addCommand(fqdnCommand())
  .addCommand(applyCommand())
  .addCommand(deleteCommand())
  .addCommand(getCommand())
  .addCommand(crdsCommand())
  .addCommand(tablesCommand())
  .addCommand(bpfCommand())
  .addCommand(sandboxCommand())
  .addCommand(demoCommand())
  .addCommand(agentCommand())
  .addCommand(proxyCommand())
  .addCommand(completionCommand())
program.addCommand(completeCommand(program), { hidden: true })

// A reader that has seen enough, such as `head`, is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})

try {
  await program.parseAsync()
} catch (error) {
  console.error(`${pc.red('axoneme:')} ${explainError(error)}`)
  process.exitCode = 1
}
