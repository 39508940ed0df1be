// A node whose services are rules of kube-proxy: the yardstick. Rules go into a network namespace of their own, with the
// same commands that kube-proxy runs.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { withNamespace } from '../../../src/net/index.ts'
import { BareNode, NODE_ADDRESS } from '../bare-node.ts'
import { endpointChain, iptablesBase, iptablesSync } from './iptables.ts'
import { nftablesBase, nftablesSync } from './nftables.ts'
import type { Endpoint, ProxiedService } from './services.ts'

export const PROXY_MODES = ['iptables', 'nftables'] as const
export type ProxyMode = (typeof PROXY_MODES)[number]

/** The variant of iptables that is quicker: its sibling over nftables takes minutes to load 10,000 services. */
const COMMANDS = {
  iptables: ['iptables-legacy-restore', ['--wait', '60', '--noflush']],
  nftables: ['nft', ['-f', '-']],
} as const

/** Services in one transaction of nft: what the kernel does for one grows with the square of its anonymous maps. */
const TRANSACTION = 1500

export class ProxyNode implements Disposable {
  readonly mode: ProxyMode
  readonly bare: BareNode
  #services: readonly ProxiedService[] = []

  private constructor(mode: ProxyMode, bare: BareNode) {
    this.mode = mode
    this.bare = bare
  }

  static async create(mode: ProxyMode, backends: number): Promise<ProxyNode> {
    const node = new ProxyNode(mode, await BareNode.create(backends))
    try {
      await node.load(mode === 'iptables' ? iptablesBase() : nftablesBase(NODE_ADDRESS))
      node.bare.forgetClosedSoon()
      return node
    } catch (error) {
      node[Symbol.dispose]()
      throw error
    }
  }

  get services(): readonly ProxiedService[] {
    return this.#services
  }

  /** From what is there to these services, in this order; from nothing where some are to go. */
  async program(services: readonly ProxiedService[]): Promise<void> {
    const wanted = new Set(services)
    if (this.#services.some(service => !wanted.has(service))) await this.#clear()
    const known = new Set(this.#services)
    const added = services.filter(service => !known.has(service))
    this.#services = services
    if (this.mode === 'iptables') await this.load(iptablesSync(services))
    else
      for (let i = 0; i < added.length; i += TRANSACTION) await this.load(nftablesSync(added.slice(i, i + TRANSACTION)))
  }

  async #clear(): Promise<void> {
    const { mode } = this
    const nothing = mode === 'iptables' ? '*nat\nCOMMIT\n*filter\nCOMMIT\n' : 'delete table ip kube-proxy\n'
    await this.load(nothing, { flush: true })
    await this.load(mode === 'iptables' ? iptablesBase() : nftablesBase(NODE_ADDRESS))
    this.#services = []
  }

  /** One synchronization of kube-proxy. @returns milliseconds that the command took, with its start */
  async change(
    before: ProxiedService | undefined,
    after: ProxiedService,
    gone: readonly Endpoint[] = [],
  ): Promise<number> {
    const services = before ? this.#services.map(each => (each === before ? after : each)) : [...this.#services, after]
    this.#services = services
    const input =
      this.mode === 'iptables'
        ? iptablesSync(
            services,
            [after],
            gone.map(endpoint => endpointChain(after, endpoint)),
          )
        : nftablesSync(
            [after],
            gone.map(endpoint => ({ service: after, endpoint })),
          )
    return await this.load(input)
  }

  /** @throws Error with what the command says */
  async load(input: string, { flush = false } = {}): Promise<number> {
    const [program, all] = COMMANDS[this.mode]
    const args = flush ? all.filter(arg => arg !== '--noflush') : all
    const before = performance.now()
    const child = withNamespace(this.bare.namespace, () => spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'] }))
    child.stdin.end(input)
    const [complaint, [code]] = await Promise.all([text(child.stderr), once(child, 'exit') as Promise<[number | null]>])
    if (code !== 0) throw new Error(`${program} ended with ${code}: ${complaint.slice(0, 1000)}`)
    return performance.now() - before
  }

  [Symbol.dispose](): void {
    this.bare[Symbol.dispose]()
  }
}
