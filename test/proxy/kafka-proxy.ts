// The Kafka server of the proxy at work in a network of its own: its program as the
// supervisor starts it, with flows in the kernel as the datapath writes them.

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type net from 'node:net'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createMap, type KernelMap, PinDirectory } from '../../src/bpf/index.ts'
import { ip } from '../../src/ip/index.ts'
import { type Flow, type FlowKey, readDatapathObject, type Schema } from '../../src/maps/index.ts'
import { withNamespace } from '../../src/net/index.ts'
import type { KafkaRule } from '../../src/policy/index.ts'
import type { FromChild, ToChild } from '../../src/proxy/child.ts'
import { spawnWithRights } from '../../src/proxy/rights.ts'
import { flowEntry } from '../../src/proxy/testing/flow-entry.ts'
import { close } from '../../src/sys/native.ts'
import type { L7Event } from '../../src/tables/index.ts'
import { temporaryBpffs } from '../bpf/support.ts'
import type { ClientOutcome, ClientTask } from './kafka-client-program.ts'
import { BROKER, CLIENT, CLIENT_PORTS, KafkaNetwork, listenAsBroker, startInside } from './kafka-network.ts'

export const KAFKA_PORT = 9092
/** As the supervisor gives them to it. */
const RIGHTS = { capabilities: ['net_admin', 'bpf'] }

export type BrokerRequest = {
  readonly api: string
  readonly version: number
  readonly topics?: string[]
  readonly session?: number
}

export class KafkaBench implements AsyncDisposable {
  readonly events: L7Event[] = []
  readonly #resources = new AsyncDisposableStack()
  readonly #network: KafkaNetwork
  readonly #bpffs = this.#resources.use(temporaryBpffs())
  readonly #schema: Schema
  readonly #flows: KernelMap<FlowKey, Flow>
  readonly #control: net.Socket
  readonly #messages: AsyncIterator<string>
  readonly #clients: { readonly stdin: NodeJS.WritableStream; readonly outcomes: AsyncIterator<string> }
  #revision = 0

  private constructor(network: KafkaNetwork) {
    this.#network = this.#resources.use(network)
    const { spec, schema } = readDatapathObject(readFileSync(new URL('../../build/pod.o', import.meta.url)))
    const flows = spec.maps.get('flows')
    if (!flows) throw new Error('the datapath has no flows')
    this.#schema = schema
    this.#flows = this.#resources.use(createMap<FlowKey, Flow>(flows))
    PinDirectory.open(this.#bpffs.path, schema.version).pin('flows', this.#flows)
    const [control, events] = this.#startServer()
    this.#control = control
    this.#messages = lines(createInterface({ input: control }))
    createInterface({ input: events }).on('line', line => this.events.push(JSON.parse(line) as L7Event))
    const clients = this.#kept(startInside(this.#network.client, 'kafka-client-program.ts', []))
    this.#clients = { stdin: clients.stdin, outcomes: lines(createInterface({ input: clients.stdout })) }
  }

  static async open(): Promise<KafkaBench> {
    const network = new KafkaNetwork()
    await network.connect()
    const bench = new KafkaBench(network)
    await bench.#say({ type: 'start', start: { bpf: bench.#bpffs.path, state: bench.#bpffs.path } }, 'ready')
    return bench
  }

  #startServer(): readonly [control: net.Socket, events: net.Socket] {
    const sockets = ([4, 6] as const).map(family => listenAsBroker(this.#network.node, family, KAFKA_PORT))
    const program = fileURLToPath(new URL('../../src/proxy/kafka/main.ts', import.meta.url))
    const child = withNamespace(this.#network.node, () =>
      spawnWithRights([process.execPath, program], RIGHTS, {
        stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'pipe', ...sockets],
      }),
    )
    for (const fd of sockets) close(fd)
    this.#kept(child)
    return [child.stdio[3] as net.Socket, child.stdio[4] as net.Socket]
  }

  #kept<C extends ChildProcess>(child: C): C {
    const ended = once(child, 'close')
    this.#resources.defer(async () => {
      child.kill('SIGKILL')
      await ended
    })
    return child
  }

  /** Number by number. In force when it resolves. */
  async setRules(sets: Readonly<Record<number, readonly Partial<KafkaRule>[]>>): Promise<void> {
    const add = Object.entries(sets).map(([number, rules]) => ({
      number: Number(number),
      rules: { parser: 'kafka' as const, rules: rules.map(rule => ({ rule: 'r', field: 'f', ...rule })) },
    }))
    const change = { whole: true, add, remove: [] }
    await this.#say({ type: 'rule-sets', revision: ++this.#revision, change }, 'applied')
  }

  /** By which sets the kernel says that connections from the client to the broker are judged. */
  setFlows(egress: number, ingress: number): void {
    for (const family of [4, 6] as const)
      for (let port = CLIENT_PORTS.first; port <= CLIENT_PORTS.last; port++) {
        const connection = {
          transport: 'TCP',
          client: { address: ip(CLIENT[family]).bytes, port },
          server: { address: ip(BROKER[family]).bytes, port: KAFKA_PORT },
        } as const
        this.#flows.set(...flowEntry(this.#schema, 'KAFKA', connection, { l7: [egress, ingress] }))
      }
  }

  /** @returns what it has been asked so far */
  async startBroker(family: 4 | 6): Promise<readonly BrokerRequest[]> {
    const args = ['--host', BROKER[family], '--port', String(KAFKA_PORT)]
    const broker = this.#kept(startInside(this.#network.broker, 'kafka-broker-program.ts', args))
    const output = createInterface({ input: broker.stdout })
    const requests: BrokerRequest[] = []
    await new Promise(resolve => output.once('line', resolve))
    output.on('line', line => requests.push(JSON.parse(line) as BrokerRequest))
    return requests
  }

  async client(family: 4 | 6, task: Omit<ClientTask, 'address' | 'port'>): Promise<ClientOutcome> {
    const whole: ClientTask = { ...task, address: BROKER[family], port: KAFKA_PORT }
    this.#clients.stdin.write(`${JSON.stringify(whole)}\n`)
    return JSON.parse((await this.#clients.outcomes.next()).value as string) as ClientOutcome
  }

  async #say(message: ToChild, answer: FromChild['type']): Promise<void> {
    this.#control.write(`${JSON.stringify(message)}\n`)
    for (;;) {
      const next = await this.#messages.next()
      if (next.done) throw new Error(`the server ended before it said ${answer}`)
      if ((JSON.parse(next.value) as FromChild).type === answer) return
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#control.destroy()
    await this.#resources.disposeAsync()
  }
}

const lines = (input: Interface): AsyncIterator<string> => input[Symbol.asyncIterator]()
