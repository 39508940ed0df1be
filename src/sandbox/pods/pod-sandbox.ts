// The namespaces of one running pod: a first process that holds them, a control group, and the few files of its own.
// Made by build/pod-init. Ends by itself with the daemon; `close` ends it at once and leaves nothing.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import type { Readable } from 'node:stream'
import * as cgroup from '../cgroup.ts'
import { SandboxError } from '../errors.ts'
import { POD_PROGRAMS, PROGRAMS } from '../paths.ts'

const DAEMON_FD = 3

export type PodSandboxOptions = {
  readonly hostname: string
  /** What its /etc/resolv.conf says. */
  readonly resolver: string
  readonly containerId: string
  /** Folder of the node's pods in the hierarchy of control groups. */
  readonly podsCgroup: string
  /** Folder that holds the shared programs (see `writePodPrograms`) and gets one folder a pod. */
  readonly podFiles: string
  /** File of the network namespace to use in place of one of the pod's own. */
  readonly networkNamespace?: string | undefined
}

export class PodSandbox {
  readonly containerId: string
  /** Of the pod's first process, as the daemon sees it. */
  readonly pid: number
  readonly cgroup: string
  /** Resolves when the first process has ended, and with it every process of the pod. */
  readonly ended: Promise<string>
  readonly #options: PodSandboxOptions
  readonly #folder: string

  private constructor(options: PodSandboxOptions, pid: number, ended: Promise<string>) {
    this.containerId = options.containerId
    this.pid = pid
    this.cgroup = cgroupOf(options)
    this.ended = ended
    this.#options = options
    this.#folder = folderOf(options)
  }

  get networkNamespace(): string {
    return `/proc/${this.pid}/ns/net`
  }

  /** Makes the namespaces; the network is empty. @throws SandboxError `failed` with what pod-init says */
  static async start(options: PodSandboxOptions): Promise<PodSandbox> {
    const folder = folderOf(options)
    cgroup.create(cgroupOf(options))
    fs.mkdirSync(folder, { recursive: true })
    writeFiles(folder, options, [])
    const binds = [
      ...Object.entries(programFiles(options.podFiles)).map(([target, source]) => `${source}:${target}`),
      `${folder}/hosts:/etc/hosts`,
      `${folder}/resolv.conf:/etc/resolv.conf`,
    ]
    const network = options.networkNamespace ? ['--netns', options.networkNamespace] : []
    const flags = ['--cgroup', cgroupOf(options), '--hostname', options.hostname, ...network]
    const child = spawn(PROGRAMS.podInit, ['pause', ...flags, ...binds.flatMap(bind => ['--bind', bind])], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    })
    const ended = endOf(child)
    try {
      const pid = await readPid(child, ended)
      return new PodSandbox(options, pid, ended)
    } catch (error) {
      await cgroup.remove(cgroupOf(options))
      fs.rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** Tells the pod its own name and addresses. */
  setAddresses(addresses: readonly string[]): void {
    writeFiles(this.#folder, this.#options, addresses)
  }

  /** Kills every process of the pod. Idempotent. */
  async close(): Promise<void> {
    await cgroup.remove(this.cgroup)
    await this.ended
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }
}

const cgroupOf = ({ podsCgroup, containerId }: PodSandboxOptions): string => path.join(podsCgroup, containerId)
const folderOf = ({ podFiles, containerId }: PodSandboxOptions): string => path.join(podFiles, containerId)

async function endOf(child: ChildProcess): Promise<string> {
  let errors = ''
  child.stderr?.on('data', (text: Buffer) => {
    errors = (errors + text.toString()).slice(-1000)
  })
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
    return errors.trim() || (signal ? `killed by ${signal}` : `ended with exit code ${code}`)
  } catch (error) {
    return `cannot start ${PROGRAMS.podInit}: ${(error as Error).message}`
  }
}

/**
 * pod-init says `pid N` when the first process is there, which itself says `ready` when its file system is as it should
 * be: two processes, so on a busy machine the second line may come first.
 */
async function readPid(child: ChildProcess, ended: Promise<string>): Promise<number> {
  const lines = readline.createInterface({ input: child.stdio[DAEMON_FD] as Readable })
  const said = Promise.withResolvers<number>()
  let pid: number | undefined
  let isReady = false
  lines.on('line', line => {
    const [word, number] = line.split(' ')
    if (word === 'pid') pid = Number(number)
    if (word === 'ready') isReady = true
    if (isReady && pid !== undefined) said.resolve(pid)
  })
  return await Promise.race([
    said.promise,
    ended.then(reason => {
      throw new SandboxError('failed', reason)
    }),
  ])
}

/** In place: the pod has these very files mounted. */
function writeFiles(folder: string, { hostname, resolver }: PodSandboxOptions, addresses: readonly string[]): void {
  const own = addresses.map(address => `${address}\t${hostname}\n`).join('')
  fs.writeFileSync(path.join(folder, 'hosts'), `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n${own}`)
  fs.writeFileSync(path.join(folder, 'resolv.conf'), resolver)
}

/** Where each shared program is in a pod, and the file that is shown there. */
function programFiles(podFiles: string): Record<string, string> {
  return {
    [POD_PROGRAMS.node]: process.execPath,
    [POD_PROGRAMS.app]: path.join(podFiles, 'app.mjs'),
    ...Object.fromEntries(
      PROGRAMS.appParts.map(({ name }) => [path.join(POD_PROGRAMS.folder, name), path.join(podFiles, name)]),
    ),
    [POD_PROGRAMS.agnhost]: path.join(podFiles, 'agnhost'),
  }
}
