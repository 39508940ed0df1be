// Kernel settings under /proc/sys/net. What is seen there depends on the network
// namespace of the thread that opens the file, so reads and writes enter the namespace
// and are synchronous.

import fs from 'node:fs'
import { systemErrorOf } from '../sys/errors.ts'
import { withNamespace } from './namespace.ts'

/**
 * Sets one setting inside a namespace.
 * @param name path below /proc/sys, such as `net/ipv4/conf/eth0/forwarding`; slashes, because link names may have dots
 * @throws SystemError (ENOENT when this kernel or namespace has no such setting); TypeError for a name outside net/
 */
export function writeSysctl(namespace: { readonly fd: number }, name: string, value: string | number): void {
  const path = pathOf(name)
  withNamespace(namespace, () => attempt(`set ${name} to ${value}`, () => fs.writeFileSync(path, `${value}\n`)))
}

/** Reads one setting inside a namespace, without the newline. @throws as `writeSysctl` */
export function readSysctl(namespace: { readonly fd: number }, name: string): string {
  const path = pathOf(name)
  return withNamespace(namespace, () => attempt(`read ${name}`, () => fs.readFileSync(path, 'utf8').trimEnd()))
}

/** Sets several settings in order, entering the namespace once. @throws as `writeSysctl`, at the first that fails */
export function writeSysctls(
  namespace: { readonly fd: number },
  values: Readonly<Record<string, string | number>>,
): void {
  const writes = Object.entries(values).map(([name, value]) => ({ name, value, path: pathOf(name) }))
  withNamespace(namespace, () => {
    for (const { name, value, path } of writes)
      attempt(`set ${name} to ${value}`, () => fs.writeFileSync(path, `${value}\n`))
  })
}

function pathOf(name: string): string {
  if (!/^net(\/[^/]+)+$/.test(name) || name.split('/').some(part => part === '.' || part === '..'))
    throw new TypeError(`"${name}" is not a setting below net/`)
  return `/proc/sys/${name}`
}

function attempt<T>(operation: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw systemErrorOf(operation, error)
  }
}
