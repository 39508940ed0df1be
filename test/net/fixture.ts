// Namespaces for the tests of src/net: every test gets anonymous ones of its own, which
// end with it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { createNamespace, linkOf, type Namespace, NetlinkSocket, setLink, withNamespace } from '../../src/net/index.ts'

export const needsRoot = process.getuid?.() === 0 ? {} : { skip: 'needs root: run the tests with sudo' }

export type Fixture = { readonly namespace: Namespace; readonly netlink: NetlinkSocket }

/** A fresh namespace with loopback up, and a socket in it. */
export function freshNamespace(t: TestContext): Fixture {
  const namespace = createNamespace()
  t.after(() => namespace.close())
  const netlink = NetlinkSocket.open({ namespace })
  t.after(() => netlink.close())
  netlink.run(setLink({ index: 1 }, { up: true }))
  return { namespace, netlink }
}

/** Index of a link that must be there. */
export function indexOf({ netlink }: Fixture, name: string): number {
  const link = netlink.get(linkOf({ name }))
  if (!link) throw new Error(`no link ${name}`)
  return link.index
}

/** What a program prints when it runs inside the namespace. */
export async function outputInside(namespace: Namespace, command: string, args: readonly string[]): Promise<string> {
  // A child belongs to the namespace of the thread that starts it.
  const child = withNamespace(namespace, () => spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] }))
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(child, 'close')
  return Buffer.concat(chunks).toString()
}
