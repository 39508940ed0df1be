// The agent's socket programs: on the control group it was told, or on none.

import fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Datapath, loadSocketPrograms, type SocketPrograms } from '../maps/index.ts'
import { type Namespace, namespaceCookie } from '../net/index.ts'
import { attachSockets, detachSockets } from '../reconcilers/index.ts'

const LINKS = 'socket-links'

/**
 * Loads the programs and puts them in the place of those of before. Without a group those are taken away.
 * @returns undefined without a group
 * @throws NoControlGroupError, and what loading and attaching throw; what was attached before still is
 */
export function openSockets(
  datapath: Datapath,
  node: Namespace,
  cgroup: string | undefined,
): SocketPrograms | undefined {
  const pins = datapath.pins?.folder(LINKS)
  if (!pins) return undefined
  if (cgroup === undefined) {
    detachSockets(pins)
    return undefined
  }
  const object = fs.readFileSync(fileURLToPath(new URL('../../build/sock.o', import.meta.url)))
  const sockets = loadSocketPrograms(datapath, { object, nodeNamespace: namespaceCookie(node) })
  try {
    attachSockets(sockets, cgroup, pins)
    return sockets
  } catch (error) {
    sockets[Symbol.dispose]()
    throw error
  }
}
