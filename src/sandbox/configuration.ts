// What a sandbox consists of: its nodes, their addresses and the command that runs an agent. Written to a file by `up`,
// read by the daemon; the defaults are those that documents and tests name.

import { z } from 'zod'
import { SandboxError } from './errors.ts'
import { DEFAULT_SANDBOX, type NodePaths, PROGRAMS } from './paths.ts'

const nodeSchema = z.strictObject({
  name: z.string(),
  /** On the underlay, with prefix lengths: `172.30.0.2/24`. */
  addresses: z.array(z.string()),
  /** Pools that pod addresses come from. */
  podCidrs: z.array(z.string()),
})

const configurationSchema = z.strictObject({
  name: z.string(),
  nodes: z.array(nodeSchema).min(1),
  /** Folders with manifests that are followed too, beside the object store. Absolute. */
  folders: z.array(z.string().startsWith('/')),
  /** Program and first arguments of an agent; the daemon adds the flags of `agentArguments`. */
  agentCommand: z.array(z.string()).min(1),
  /** The same of a proxy, with the flags of `proxyArguments`. Empty: nodes have none. */
  proxyCommand: z.array(z.string()),
})

export type NodeConfiguration = Readonly<z.infer<typeof nodeSchema>>
export type SandboxConfiguration = Readonly<z.infer<typeof configurationSchema>>

const DEFAULT_NODE: NodeConfiguration = {
  name: 'node1',
  addresses: ['172.30.0.2/24', 'fd00:172:30::2/64'],
  podCidrs: ['10.244.0.0/16', 'fd00:10:244::/64'],
}

/** Part of a control group's and a folder's name. */
const NAME = /^[a-z0-9](?:[-a-z0-9]{0,30}[a-z0-9])?$/

export function defaultConfiguration(name = DEFAULT_SANDBOX): SandboxConfiguration {
  return {
    name: validName(name),
    nodes: [DEFAULT_NODE],
    folders: [],
    agentCommand: [PROGRAMS.axoneme, 'agent'],
    proxyCommand: [PROGRAMS.axoneme, 'proxy'],
  }
}

/** @throws SandboxError `invalid` */
export function validName(name: string): string {
  if (NAME.test(name)) return name
  throw new SandboxError(
    'invalid',
    `'${name}' cannot be the name of a sandbox: use up to 32 lower-case letters, digits and '-'`,
  )
}

/** @throws SandboxError `invalid` naming the field */
export function parseConfiguration(text: string): SandboxConfiguration {
  const result = configurationSchema.safeParse(JSON.parse(text))
  if (result.success) return result.data
  throw new SandboxError('invalid', `sandbox configuration: ${z.prettifyError(result.error)}`)
}

/** Flags that every agent gets, so that each node has its own of everything. */
export function agentArguments(
  node: NodeConfiguration,
  paths: NodePaths & { /** Control group of the node's agent and pods. */ readonly cgroup: string },
  objects: readonly string[],
): string[] {
  return [
    ['--node', node.name],
    ['--socket', paths.agentSocket],
    ['--bpf', paths.bpf],
    ['--proxy', paths.proxySocket],
    ['--service-cgroup', paths.cgroup],
    ...objects.map(folder => ['--objects', folder]),
    ...node.podCidrs.map(cidr => ['--pod-cidr', cidr]),
    ...node.addresses.map(address => ['--node-address', address.replace(/\/.*$/, '')]),
  ].flat()
}

/** Flags that every proxy gets. */
export function proxyArguments(paths: NodePaths, cgroup: string): string[] {
  return [
    ['--socket', paths.proxySocket],
    ['--bpf', paths.bpf],
    ['--cgroup', cgroup],
    ['--agent', paths.agentSocket],
  ].flat()
}
