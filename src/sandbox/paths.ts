// Where everything of a sandbox is: one folder under /run, one control group, and the programs that a checkout or an
// installed package brings along. Pure: names in, paths out.

import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** Folder of every sandbox's state. Gone with the next boot, as sandboxes are. */
export const STATE_ROOT = '/run/axoneme'

export const DEFAULT_SANDBOX = 'default'

/** `.ts` in a checkout, `.js` in a package: what runs this file also runs its neighbours. */
const OWN_EXTENSION = path.extname(fileURLToPath(import.meta.url))
const OWN_FOLDER = path.dirname(fileURLToPath(import.meta.url))
const PACKAGE_FOLDER = path.resolve(OWN_FOLDER, '../..')

export const PROGRAMS = {
  podInit: path.join(PACKAGE_FOLDER, 'build/pod-init'),
  /** The application of pods, a TypeScript or JavaScript module. */
  app: path.join(OWN_FOLDER, `app${OWN_EXTENSION}`),
  /** What it imports, by the names that pods find it by. */
  appParts: ['app-clients', 'app-names', 'app-rpc', 'app-talk'].map(name => ({
    name: `${name}.mjs`,
    source: path.join(OWN_FOLDER, `${name}${OWN_EXTENSION}`),
  })),
  /** Asks for the probes of pods from a node's network. */
  health: path.join(OWN_FOLDER, `health-program${OWN_EXTENSION}`),
  daemon: path.join(OWN_FOLDER, `daemon${OWN_EXTENSION}`),
  /** Starts the command line, whose `agent` command is a node's agent, as it is to be started: compiled, if it is. */
  axoneme: path.join(PACKAGE_FOLDER, 'bin/axoneme'),
} as const

/** Where pods find the programs of the sandbox. Nothing else of the sandbox is visible to them. */
export const POD_PROGRAMS = {
  folder: '/run/sandbox',
  node: '/run/sandbox/node',
  app: '/run/sandbox/app.mjs',
  searchFolder: '/run/sandbox/bin',
  agnhost: '/run/sandbox/bin/agnhost',
} as const

export type SandboxPaths = {
  readonly folder: string
  /** Held while a sandbox is made or removed; beside the folder, so that it outlives it. */
  readonly lock: string
  /** What the daemon is told to make. */
  readonly configuration: string
  /** Written when all is made: which process is the daemon. */
  readonly daemonRecord: string
  readonly daemonSocket: string
  /** The object store that `axoneme apply` writes and agents read. */
  readonly objects: string
  /** What the sandbox's own control plane says, such as admitted Services; agents read it too. */
  readonly cluster: string
  readonly logs: string
  readonly daemonLog: string
  /** Files shown in pods: programs, and a folder for each pod. */
  readonly podFiles: string
  /** Name of the control group, directly below the root of the hierarchy. */
  readonly cgroupName: string
}

export type NodePaths = {
  readonly folder: string
  /** Mount point of the node's own BPF file system, in the sandbox's mount namespace only. */
  readonly bpf: string
  readonly agentSocket: string
  readonly agentLog: string
  /** Of the node's proxy, with its socket in it. */
  readonly proxyState: string
  readonly proxySocket: string
  readonly proxyLog: string
}

export function sandboxPaths(name: string): SandboxPaths {
  const folder = path.join(STATE_ROOT, name)
  return {
    folder,
    lock: `${folder}.lock`,
    configuration: path.join(folder, 'sandbox.json'),
    daemonRecord: path.join(folder, 'daemon.json'),
    daemonSocket: path.join(folder, 'daemon.sock'),
    objects: path.join(folder, 'objects'),
    cluster: path.join(folder, 'cluster'),
    logs: path.join(folder, 'logs'),
    daemonLog: path.join(folder, 'logs/daemon.log'),
    podFiles: path.join(folder, 'pods'),
    cgroupName: `axoneme-${name}`,
  }
}

export function nodePaths(sandbox: SandboxPaths, node: string): NodePaths {
  const folder = path.join(sandbox.folder, node)
  return {
    folder,
    bpf: path.join(folder, 'bpf'),
    agentSocket: path.join(folder, 'agent.sock'),
    agentLog: path.join(sandbox.logs, `${node}_agent.log`),
    proxyState: path.join(folder, 'proxy'),
    proxySocket: path.join(folder, 'proxy/proxy.sock'),
    proxyLog: path.join(sandbox.logs, `${node}_proxy.log`),
  }
}

/** Names of Kubernetes objects have no `_`, so no two containers share a file. */
export function containerLog(sandbox: SandboxPaths, pod: { namespace: string; name: string }, container: string) {
  return path.join(sandbox.logs, `${pod.namespace}_${pod.name}_${container}.log`)
}
