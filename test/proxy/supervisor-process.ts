// The supervisor as a process for tests, in a network namespace and a control group of its
// own, beside a datapath that the test loads.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ProxyClient, type ProxyStatus } from '../../src/api/index.ts'
import { type Datapath, loadDatapath } from '../../src/maps/index.ts'
import { createNamespace, NetlinkSocket, setLink, withNamespace } from '../../src/net/index.ts'
import { temporaryBpffs, temporaryCgroup } from '../bpf/support.ts'
import { HOST_MAC, OBJECT } from '../datapath/node.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const PATIENCE_MS = 20_000
const sizes = { flows: 1_000, translations: 1_000, ipcache: 1_000, endpoints: 100 }

export class TestProxy {
  readonly pins: string
  readonly state = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-proxy-'))
  readonly client = new ProxyClient(path.join(this.state, 'proxy.sock'))
  readonly #cgroup: string
  readonly namespace = createNamespace()
  #process: ChildProcess | undefined

  constructor(t: TestContext) {
    const bpffs = temporaryBpffs()
    const cgroup = temporaryCgroup()
    this.pins = path.join(bpffs.path, 'axoneme')
    this.#cgroup = cgroup.path
    using inside = NetlinkSocket.open({ namespace: this.namespace })
    inside.run(setLink({ name: 'lo' }, { up: true }))
    t.after(async () => {
      await this.end('SIGKILL')
      this.namespace.close()
      fs.rmSync(this.state, { recursive: true })
      // Threads of a process may be there for a while when the process is in no list any more.
      const events = `${cgroup.path}/cgroup.events`
      await until('the control group to be empty', () => fs.readFileSync(events, 'utf8').includes('populated 0'))
      cgroup[Symbol.dispose]()
      bpffs[Symbol.dispose]()
    })
  }

  load(): Datapath {
    return loadDatapath({ object: OBJECT, hostMac: HOST_MAC, sizes, pins: this.pins })
  }

  start(): void {
    const args = ['--socket', path.join(this.state, 'proxy.sock'), '--bpf', this.pins, '--cgroup', this.#cgroup]
    this.#process = withNamespace(this.namespace, () =>
      spawn(process.execPath, [MAIN, 'proxy', ...args], { stdio: ['ignore', 'ignore', 'inherit'] }),
    )
  }

  /** @returns how it ended */
  async end(by: NodeJS.Signals): Promise<unknown[]> {
    const child = this.#process
    if (!child || child.exitCode !== null || child.signalCode !== null) return []
    const ended = once(child, 'exit')
    child.kill(by)
    return await ended
  }

  async status(isIt: (status: ProxyStatus) => boolean): Promise<ProxyStatus> {
    let found: ProxyStatus | undefined
    await until('the proxy to be so', async () => {
      const status = await this.client.status().catch(() => undefined)
      if (status && isIt(status)) found = status
      return found !== undefined
    })
    return found as ProxyStatus
  }
}

export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`waited ${PATIENCE_MS} ms for ${what}`)
    await sleep(20)
  }
}
