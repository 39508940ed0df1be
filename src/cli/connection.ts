// Which agent a command talks to: `--socket`, else the environment, else the node of
// the named sandbox.

import { type Command, Option } from 'commander'
import { AgentClient } from '../api/index.ts'

export type ConnectionOptions = { readonly socket?: string; readonly sandbox: string; readonly node: string }

export function withConnection(command: Command): Command {
  return command
    .addOption(new Option('--socket <path>', "the agent's unix socket").env('AXONEME_SOCKET'))
    .addOption(
      new Option('--sandbox <name>', 'the sandbox whose agent is meant').env('AXONEME_SANDBOX').default('default'),
    )
    .addOption(new Option('--node <name>', 'the node whose agent is meant').default('node1'))
}

export function socketPath({ socket, sandbox, node }: ConnectionOptions): string {
  return socket ?? `/run/axoneme/${sandbox}/${node}/agent.sock`
}

export function agentOf(options: ConnectionOptions): AgentClient {
  return new AgentClient(socketPath(options))
}

/** Folder of a sandbox's objects, where `apply`, `delete` and `get` work. */
export function objectsFolder({ sandbox }: Pick<ConnectionOptions, 'sandbox'>): string {
  return `/run/axoneme/${sandbox}/objects`
}
