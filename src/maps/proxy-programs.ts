// build/proxy.o: what a proxy's processes have of the datapath. Its maps are those that
// the agent has pinned; its programs are for the proxies' control group and the node's
// network namespace. Who attaches them, and makes the sockets, is the business of others.

import {
  BpfError,
  KernelMap,
  loadObject,
  type ObjectSpec,
  PinDirectory,
  type Program,
  parseObject,
} from '../bpf/index.ts'
import { addressShape } from './address.ts'
import { type Flow, type FlowKey, flowFlagsShape, flowKeyShape, flowLegShape, flowShape } from './conntrack.ts'
import { LayoutError, layoutDifferences, readEnum } from './layout.ts'
import { proxyKindShape, proxyListenerShape, proxyMarkShape, proxySocketShape, tlsContextShape } from './proxy.ts'
import { schemaShape } from './schema.ts'

const PROGRAMS = ['mark_proxy', 'keep_hops', 'tell_proxy', 'find_listener'] as const
const MAPS = ['flows', 'proxy_sockets', 'tls_contexts'] as const
const ENOENT = 2

export type ProxyMapsOptions = {
  /** build/proxy.o: its bytes, or its parsed form. */
  readonly object: Uint8Array | ObjectSpec
  /** The agent's folder of pins in a bpffs. */
  readonly pins: string
}

export type ProxyMaps = Disposable & {
  readonly spec: ObjectSpec
  readonly proxyKind: ReturnType<typeof readEnum<(typeof proxyKindShape.names)[number]>>
  readonly proxyListener: ReturnType<typeof readEnum<(typeof proxyListenerShape.names)[number]>>
  readonly proxyMark: ReturnType<typeof readEnum<(typeof proxyMarkShape.names)[number]>>
  readonly tlsContext: ReturnType<typeof readEnum<(typeof tlsContextShape.names)[number]>>
  readonly proxySocket: ReturnType<typeof readEnum<(typeof proxySocketShape.names)[number]>>
  readonly maps: {
    readonly flows: KernelMap<FlowKey, Flow>
    /** By `proxySocketIndex`: put in a socket's descriptor; what is read is its cookie. A closed socket leaves by itself. */
    readonly proxy_sockets: KernelMap<number, bigint>
    /** Slot of the TLS context that a rule set has, by the set's number. */
    readonly tls_contexts: KernelMap<number, number>
  }
}

/**
 * Opens the maps that the agent has pinned.
 * @throws LayoutError, BpfError ENOENT where they are not pinned: no agent has run here
 */
export function openProxyMaps(options: ProxyMapsOptions): ProxyMaps {
  const spec = options.object instanceof Uint8Array ? parseObject(options.object) : options.object
  const differences = [
    ...MAPS.filter(name => !spec.maps.has(name)).map(name => `there is no map ${name}`),
    ...PROGRAMS.filter(name => !spec.programs.has(name)).map(name => `there is no program ${name}`),
    ...layoutDifferences(
      spec.btf,
      [addressShape, flowKeyShape, flowShape],
      [
        flowFlagsShape,
        flowLegShape,
        proxyKindShape,
        proxyListenerShape,
        proxyMarkShape,
        proxySocketShape,
        schemaShape,
        tlsContextShape,
      ],
    ),
  ]
  if (differences.length > 0) throw new LayoutError(differences)
  const version = readEnum(spec.btf, schemaShape).number.VERSION
  const pins = PinDirectory.open(options.pins, version, { otherVersions: 'keep' })
  using stack = new DisposableStack()
  const maps = {
    flows: stack.use(openMap<FlowKey, Flow>(pins, spec, 'flows')),
    proxy_sockets: stack.use(openMap<number, bigint>(pins, spec, 'proxy_sockets')),
    tls_contexts: stack.use(openMap<number, number>(pins, spec, 'tls_contexts')),
  }
  const owned = stack.move()
  return {
    spec,
    proxyKind: readEnum(spec.btf, proxyKindShape),
    proxyListener: readEnum(spec.btf, proxyListenerShape),
    proxyMark: readEnum(spec.btf, proxyMarkShape),
    proxySocket: readEnum(spec.btf, proxySocketShape),
    tlsContext: readEnum(spec.btf, tlsContextShape),
    maps,
    [Symbol.dispose]: () => owned.dispose(),
  }
}

export type ProxyPrograms = ProxyMaps & {
  readonly programs: {
    /** For `cgroup_inet_sock_create`. */
    readonly mark_proxy: Program
    /** For `cgroup_setsockopt`. */
    readonly keep_hops: Program
    /** For `cgroup_getsockopt`. */
    readonly tell_proxy: Program
    /** For the node's network namespace (sk_lookup). */
    readonly find_listener: Program
  }
}

/** As `openProxyMaps`, with the programs loaded into this kernel. Nothing is attached. @throws and what `loadObject` throws */
export function loadProxyPrograms(options: ProxyMapsOptions): ProxyPrograms {
  const opened = openProxyMaps(options)
  try {
    const { spec, maps } = opened
    const object = loadObject(spec, {
      maps: maps as unknown as Record<string, KernelMap>,
      maxEntries: Object.fromEntries(MAPS.map(name => [name, maps[name].maxEntries])),
    })
    return {
      ...opened,
      programs: {
        mark_proxy: object.program('mark_proxy'),
        keep_hops: object.program('keep_hops'),
        tell_proxy: object.program('tell_proxy'),
        find_listener: object.program('find_listener'),
      },
      [Symbol.dispose]() {
        object.close()
        opened[Symbol.dispose]()
      },
    }
  } catch (error) {
    opened[Symbol.dispose]()
    throw error
  }
}

function openMap<Key, Value>(pins: PinDirectory, spec: ObjectSpec, name: string): KernelMap<Key, Value> {
  const map = pins.openMap<Key, Value>(name, spec.maps.get(name))
  if (map) return map
  throw new BpfError(`open map ${name} in ${pins.path}`, ENOENT, 'it is not pinned there: start the agent first')
}
