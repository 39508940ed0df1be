// build/sock.o, the socket programs: loaded beside the datapath, whose service maps they
// share, with their own maps typed (bpf/lib/datagram.h). Who attaches them is the
// business of others.

import { type KernelMap, type ObjectSpec, type Program, parseObject } from '../bpf/index.ts'
import { addressShape } from './address.ts'
import type { Datapath } from './datapath.ts'
import { LayoutError, layoutDifferences, type StructValue, struct } from './layout.ts'

const socketNameShape = struct('socket_name', { address: addressShape, port: 'number' })

const datagramKeyShape = struct('datagram_key', { socket: 'bigint', name: socketNameShape })
/** `socket` is the kernel's cookie of the socket. */
type DatagramKey = StructValue<typeof datagramKeyShape>

const datagramBackendShape = struct('datagram_backend', { used_ns: 'bigint', backend: 'number', service: 'number' })
type DatagramBackend = StructValue<typeof datagramBackendShape>

const datagramFrontendShape = struct('datagram_frontend', { name: socketNameShape, backend: 'number' })
/** `backend` is the id of the one that was given for the frontend. */
type DatagramFrontend = StructValue<typeof datagramFrontendShape>

const PROGRAMS = [
  'connect4',
  'connect6',
  'sendmsg4',
  'sendmsg6',
  'recvmsg4',
  'recvmsg6',
  'getpeername4',
  'getpeername6',
  'bind4',
  'bind6',
] as const
export type SocketProgramName = (typeof PROGRAMS)[number]

export type SocketProgramsOptions = {
  /** The compiled object: its bytes, or its parsed form. */
  readonly object: Uint8Array | ObjectSpec
  /** Cookie of the node's own network namespace. */
  readonly nodeNamespace: bigint
}

export type SocketPrograms = Disposable & {
  readonly spec: ObjectSpec
  readonly programs: Readonly<Record<SocketProgramName, Program>>
  readonly maps: {
    /** By frontend: the backend that the socket stays with. */
    readonly datagram_backends: KernelMap<DatagramKey, DatagramBackend>
    /** By backend: the frontend that the socket was told it speaks to. */
    readonly datagram_frontends: KernelMap<DatagramKey, DatagramFrontend>
  }
}

/**
 * Loads the socket programs into this kernel. Nothing is attached. Disposed of before the datapath.
 * @throws LayoutError, and what `loadObject` throws
 */
export function loadSocketPrograms(datapath: Datapath, options: SocketProgramsOptions): SocketPrograms {
  const spec = options.object instanceof Uint8Array ? parseObject(options.object) : options.object
  const differences = [
    ...PROGRAMS.filter(name => !spec.programs.has(name)).map(name => `there is no program ${name}`),
    ...layoutDifferences(
      spec.btf,
      [socketNameShape, datagramKeyShape, datagramBackendShape, datagramFrontendShape],
      [],
    ),
  ]
  if (differences.length > 0) throw new LayoutError(differences)
  const object = datapath.load(spec, { rodata: { node_namespace: options.nodeNamespace } })
  const programs = Object.fromEntries(PROGRAMS.map(name => [name, object.program(name)]))
  return {
    spec,
    programs: programs as Record<SocketProgramName, Program>,
    maps: {
      datagram_backends: object.map('datagram_backends'),
      datagram_frontends: object.map('datagram_frontends'),
    },
    [Symbol.dispose]: () => object.close(),
  }
}
