// Keeps the table of the node's devices: those that were named, or else those that hold
// the node's addresses. Devices and addresses come and go; the kernel tells when.

import {
  allAddresses,
  allLinks,
  type Link,
  type LinkAddress,
  NetlinkSocket,
  type Watch,
  watchLinksAndAddresses,
} from '../net/index.ts'
import { asError, type Database, type Table } from '../state/index.ts'
import type { NodeDevice } from '../tables/index.ts'

export type NodeDeviceOptions = {
  readonly database: Database
  readonly table: Table<NodeDevice>
  /** The namespace that the devices are in. */
  readonly node: { readonly fd: number }
  /** Names of devices; empty: those that have one of the addresses. */
  readonly names: readonly string[]
  /** The node's, canonical. */
  readonly addresses: readonly string[]
  /** Told of a named device that cannot be used, once for as long as it is so. */
  readonly onProblem: (device: string, problem: string) => void
  /** Told when a change could not be looked at; that is tried again. */
  readonly onFailure: (error: Error) => void
}

const IFF_LOOPBACK = 8
/** Pods' devices come and go among them; one look does for many changes. */
const LOOK_AFTER_MS = 100
const RETRY_AFTER_MS = 1000

/** Fills the table now and soon after every change, until it is closed. */
export function followNodeDevices(options: NodeDeviceOptions): Watch {
  const { database, table, node, names, addresses, onProblem, onFailure } = options
  const delivered = table.registerInitializer('node devices')
  const told = new Set<string>()
  const socket = NetlinkSocket.open({ namespace: node })

  function refresh(): void {
    const { devices, problems } = chooseDevices(socket.list(allLinks()), socket.list(allAddresses()), names, addresses)
    database.write(transaction => transaction.replace(table, devices))
    for (const [name, problem] of problems) if (!told.has(name)) onProblem(name, problem)
    told.clear()
    for (const [name] of problems) told.add(name)
  }

  let timer: NodeJS.Timeout | undefined
  const watch = watchLinksAndAddresses(node, () => {
    timer ??= setTimeout(look, LOOK_AFTER_MS).unref()
  })
  /** A list that keeps changing cannot be read: no reason for an agent to end. */
  function look(): void {
    timer = undefined
    try {
      refresh()
    } catch (error) {
      onFailure(asError(error))
      timer = setTimeout(look, RETRY_AFTER_MS).unref()
    }
  }
  refresh()
  delivered()
  const close = (): void => {
    clearTimeout(timer)
    watch.close()
    socket.close()
  }
  return { close, [Symbol.dispose]: close }
}

/** Loopback is never among them: nobody outside sends anything there. */
export function chooseDevices(
  links: readonly Link[],
  held: readonly LinkAddress[],
  names: readonly string[],
  addresses: readonly string[],
): { readonly devices: readonly NodeDevice[]; readonly problems: ReadonlyMap<string, string> } {
  const problems = new Map<string, string>()
  for (const name of names) {
    const link = links.find(candidate => candidate.name === name)
    if (!link) problems.set(name, 'there is no such device; it is used when it comes')
    else if (!isEthernet(link))
      problems.set(name, 'it is no Ethernet device, which is all that services can be reached by')
  }
  const devices = links.filter(isEthernet).flatMap(({ index, name }): NodeDevice[] => {
    const its = held.filter(address => address.index === index && addresses.includes(address.address))
    const isWanted = names.length > 0 ? names.includes(name) : its.length > 0
    return isWanted ? [{ ifindex: index, name, addresses: its.map(({ address }) => address).sort() }] : []
  })
  return { devices, problems }
}

const isEthernet = (link: Link): boolean => link.mac !== undefined && !(link.flags & IFF_LOOPBACK)
