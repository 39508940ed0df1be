// The agent of one node, put together by hand; read it top to bottom. Sources fill
// tables, controllers turn them into what the kernel is to have, reconcilers make that
// real. The datapath is pinned: it goes on judging packets when this process ends, and
// the next one takes over where this one was.

import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { ProxyClient, requireUnserved, serveApi } from '../api/index.ts'
import { probe, requireFeature } from '../bpf/index.ts'
import { followNodeDevices, Secrets } from '../controllers/index.ts'
import { ip, mac, wireBytes } from '../ip/index.ts'
import { type Datapath, loadDatapath } from '../maps/index.ts'
import { Namespace, namespaceCookie, readSysctl, watchLinks } from '../net/index.ts'
import { ServiceNames } from '../observe/index.ts'
import {
  type Attacher,
  clsactAttacher,
  endpointDeviceOperations,
  leaveUntracked,
  nodeDeviceOperations,
  PodNetwork,
  prepareForProxies,
  requireControlGroup,
  tcxAttacher,
  usedAddresses,
} from '../reconcilers/index.ts'
import { FileSource } from '../sources/index.ts'
import { type ReconcileFailure, Reconciler } from '../state/index.ts'
import type { AgentConfiguration } from './configuration.ts'
import { createEngine } from './engine.ts'
import { createHealthChecks } from './health-checks.ts'
import { Journal } from './journal.ts'
import type { Log } from './log.ts'
import { standInForNames } from './name-stand-in.ts'
import { ProxyLink } from './proxy-link.ts'
import { agentRoutes } from './routes.ts'
import { SecretDelivery } from './secret-delivery.ts'
import { createSight } from './sight.ts'
import { openSockets } from './sockets.ts'
import { sourcePorts } from './source-ports.ts'

/** MAC of the node's side of every pod's veth pair. Locally administered; nobody else can have it on such a link. */
export const HOST_MAC = '02:61:78:6f:6e:65'

export type AgentRun = {
  readonly configuration: AgentConfiguration
  readonly version: string
  readonly log: Log
  /** Aborted: end, and leave the datapath as it is. */
  readonly signal: AbortSignal
}

/** Runs until the signal is aborted. @throws when a part of the agent cannot work; the datapath stays as it is */
export async function runAgent({ configuration, version, log, signal: outer }: AgentRun): Promise<void> {
  const startedAtMs = Date.now()
  const stop = new AbortController()
  const signal = AbortSignal.any([outer, stop.signal])
  let readyAfterMs: number | undefined

  // Before anything is touched: without rights or kernel nothing can be done, and a second agent would write over the
  // first one's journal and maps.
  for (const feature of ['redirect_peer', 'lpm_batch'] as const) requireFeature(feature)
  if (configuration.serviceCgroup !== undefined) requireControlGroup(configuration.serviceCgroup)
  await requireUnserved(configuration.socket)
  // What was there before: numbers and endpoints from the journal, packets judged by the pinned datapath.
  fs.mkdirSync(configuration.state, { recursive: true })
  const journal = new Journal(path.join(configuration.state, 'agent.journal'))
  using node = Namespace.current()
  using datapath = openDatapath(configuration, node)
  using standIn = await standInForNames({ configuration, datapath })
  using network = new PodNetwork({
    node,
    hostMac: HOST_MAC,
    mtu: configuration.mtu,
    nodeAddresses: configuration.nodeAddresses,
  })
  using sockets = openSockets({ datapath, node, cgroup: configuration.serviceCgroup, log })
  const attacher = attacherFor(datapath, node, log)

  // From what is declared to what the kernel has.
  const proxyClient = configuration.proxy === undefined ? undefined : new ProxyClient(configuration.proxy)
  const secrets = new Secrets()
  const delivery =
    proxyClient &&
    new SecretDelivery({
      client: proxyClient,
      secrets,
      // By other secrets the proxy may be able to judge by other sets.
      onDelivered: () => engine.reconcilers['rule-sets'].refresh(),
      onFailure: error =>
        log.error({ error: error.message }, 'secrets could not be brought to the proxy; it is tried again'),
    })
  const engine = createEngine({
    node: { name: configuration.node, addresses: configuration.nodeAddresses },
    podCidrs: configuration.podCidrs,
    policyEnforcement: configuration.policyEnforcement,
    translatesInSockets: sockets !== undefined,
    podTranslation: configuration.podTranslation,
    onBackendsGone: () => sockets?.backendsGone(),
    services: configuration.services,
    names: { ...configuration.names, usedAddresses: usedAddresses(datapath.maps.flows), taughtBefore: standIn.taught },
    audience: standIn.audience,
    memory: journal,
    datapath,
    proxy: delivery?.proxyFor(() => engine.tables),
    secrets,
    onProxiesInUse: () => {
      prepareForProxies(node, datapath.schema)
      const tracked = leaveUntracked(node, datapath.schema)
      if (tracked) log.error({ reason: tracked }, 'nf_conntrack tracks what pods and proxies say to each other as well')
    },
    devices: endpointDeviceOperations(network, attacher, node),
    onFailure: failure => logFailure(log, failure),
  })
  standIn.forgetTaught()
  const { tables, endpoints } = engine
  const gone = endpoints.restore()
  log.info({ endpoints: tables.endpoints.size, gone, attach: attacher.mechanism }, 'took over what was there')

  // The devices that outside clients come by.
  const rodata = sourceAddresses(configuration.nodeAddresses)
  using outside = datapath.load(readObject('netdev'), { rodata })
  const mode = configuration.xdp
  using driver = mode === 'off' ? undefined : datapath.load(readObject('xdp'), { rodata })
  const nodeDevices = new Reconciler({
    name: 'node-devices',
    database: tables.database,
    table: tables.nodeDevices,
    operations: nodeDeviceOperations({
      programs: { fromNetdev: outside.program('from_netdev'), toNetdev: outside.program('to_netdev') },
      pins: datapath.pins?.folder('device_links'),
      mechanism: attacher.mechanism,
      ...(driver && mode !== 'off' && { xdp: { program: driver.program('xdp_netdev'), mode } }),
      node,
      onFallback: ({ name }, error) =>
        log.info({ device: name, error: error.message }, 'the driver has no XDP; the generic one is used'),
    }),
    onFailure: failure => logFailure(log, failure),
  })
  const healthChecks = createHealthChecks(tables, configuration.nodeAddresses, failure => logFailure(log, failure))
  const reconcilers = { ...engine.reconcilers, 'node-devices': nodeDevices, 'service-health': healthChecks }
  const devices = followNodeDevices({
    database: tables.database,
    table: tables.nodeDevices,
    node,
    names: configuration.devices,
    addresses: configuration.nodeAddresses,
    onProblem: (device, problem) => log.error({ device }, problem),
    onFailure: error =>
      log.error({ error: error.message }, 'could not look at the devices of the node; it is tried again'),
  })

  const proxy =
    proxyClient &&
    new ProxyLink({
      client: proxyClient,
      onThere: () => {
        delivery?.refresh()
        engine.reconcilers['rule-sets'].refresh()
      },
      onLines: lines => sight.requests.takeLines(lines),
    })

  // What somebody else removes is made again: a pod would have no network until the next full compare.
  const links = watchLinks(node, event => {
    const { kind } = event
    if (kind === 'lost' || (kind === 'deleted' && tables.endpoints.by('ifindex', String(event.link.index)).length > 0))
      reconcilers['endpoint-devices'].refresh()
  })

  // Sight: flows, and the API that tells of everything.
  using serviceNames = new ServiceNames(tables.serviceEntries)
  const sight = createSight({ configuration, datapath, tables, serviceNames })
  const server = await serveApi(
    configuration.socket,
    agentRoutes({
      node: configuration.node,
      nodeAddresses: configuration.nodeAddresses,
      version,
      startedAtMs,
      tables,
      datapath,
      further: [
        ...(sockets ? [sockets.loaded] : []),
        {
          programs: [outside, ...(driver ? [driver] : [])].flatMap(object => [...object.programs.values()]),
          maps: [],
          attached: () => tables.nodeDevices.size,
        },
      ],
      endpoints,
      names: engine.names,
      policyStatus: engine.policyStatus,
      serviceStatus: engine.serviceStatus,
      services: {
        node: { name: configuration.node, addresses: configuration.nodeAddresses },
        tables,
        kernel: engine.servicesInKernel,
        datapath,
        sockets: sockets !== undefined,
        nodeCookie: namespaceCookie(node),
      },
      sight,
      proxy,
      reconcilers,
      attempted,
      readyAfterMs: () => readyAfterMs,
      policyEnforcement: configuration.policyEnforcement,
    }),
    ({ method, url, error }) => log.error({ method, url, error: errorText(error) }, 'a request failed'),
  )

  async function attempted(aborted?: AbortSignal): Promise<void> {
    await Promise.all([engine.attempted(aborted), nodeDevices.attempted(aborted)])
  }

  async function becomeReady(): Promise<void> {
    for (const table of [tables.endpointEntries, tables.serviceEntries])
      if (!(await table.whenInitialized(signal))) return
    await attempted(signal)
    readyAfterMs = Date.now() - startedAtMs
    log.info({ readyAfterMs, endpoints: tables.endpoints.size, policies: tables.policies.size }, 'ready')
  }

  const tasks = [
    new FileSource(configuration.objects).run(engine.intent, signal),
    engine.run(signal),
    nodeDevices.run(signal),
    healthChecks.run(signal),
    sight.packets.run(signal),
    ...(proxy ? [proxy.run(signal)] : []),
    ...(delivery ? [delivery.run(tables, signal)] : []),
    serviceNames.run(signal),
    becomeReady(),
  ]
  try {
    await Promise.all(tasks)
  } catch (error) {
    if (!outer.aborted) throw error
  } finally {
    stop.abort()
    links.close()
    devices.close()
    await Promise.allSettled(tasks)
    await server.close()
    attacher.close()
    journal.close()
  }
}

function openDatapath({ bpf, flowEvents }: AgentConfiguration, node: Namespace): Datapath {
  const ports = sourcePorts(readSysctl(node, 'net/ipv4/ip_local_port_range'))
  return loadDatapath({
    object: readObject('pod'),
    hostMac: mac(HOST_MAC),
    pins: bpf,
    constants: { flow_events: flowEvents },
    sourcePorts: ports,
  })
}

/** What connections of outside clients come from at a backend of another node: the node's first address of each family. */
function sourceAddresses(nodeAddresses: readonly string[]): Readonly<Record<string, Uint8Array>> {
  const addresses = nodeAddresses.map(ip)
  return Object.fromEntries(
    ([4, 6] as const).flatMap(family => {
      const first = addresses.find(address => address.family === family)
      return first ? [[`node_ipv${family}`, wireBytes(first)]] : []
    }),
  )
}

/** A compiled object of the datapath. */
const readObject = (name: string): Uint8Array =>
  fs.readFileSync(fileURLToPath(new URL(`../../build/${name}.o`, import.meta.url)))

function attacherFor(datapath: Datapath, node: Namespace, log: Log): Attacher {
  const programs = { fromPod: datapath.programs.from_pod, toPod: datapath.programs.to_pod }
  const { pins } = datapath
  if (probe('tcx').answer !== 'supported' || !pins) return clsactAttacher(programs, node)
  const onFailure = (ifindex: number, error: unknown) =>
    log.error({ ifindex, error: String(error) }, 'no tcx link could be made; the device stays with its filters')
  return tcxAttacher({ programs, pins: pins.folder('links'), node, onFailure })
}

const errorText = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error))

function logFailure(log: Log, { reconciler, operation, key, error, attempts, retryInMs }: ReconcileFailure): void {
  log.error({ reconciler, operation, key, attempts, retryInMs, error: error.message }, 'could not be made real')
}
