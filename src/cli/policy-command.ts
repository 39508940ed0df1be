// `axoneme policy`: the policies of an agent, and, without agent or root, who may reach
// whom by manifests alone.

import { Command } from 'commander'
import { policyCheckCommand } from './policy-check-command.ts'
import { policyDiffCommand } from './policy-diff-command.ts'
import { policyExplainCommand } from './policy-explain-command.ts'
import { policyGetCommand } from './policy-get-command.ts'
import { policyLintCommand } from './policy-lint-command.ts'
import { policyReachCommand } from './policy-reach-command.ts'
import { policyTestCommand } from './policy-test-command.ts'

export function policyCommand(): Command {
  return new Command('policy')
    .description('policies: those in force, and what policies in files would do')
    .addCommand(policyGetCommand())
    .addCommand(policyReachCommand())
    .addCommand(policyExplainCommand())
    .addCommand(policyCheckCommand())
    .addCommand(policyLintCommand())
    .addCommand(policyTestCommand())
    .addCommand(policyDiffCommand())
}
