// Keeps what pods and proxies say to each other out of the node's own connection
// tracking (nf_conntrack), where the kernel has that loaded: the datapath knows these
// connections already, and an entry for each leg would fill a table that is not ours. What comes from
// outside, or goes there, stays tracked: it may be translated, and is seen both ways.

import { spawnSync } from 'node:child_process'
import type { Schema } from '../maps/index.ts'
import { type Namespace, readSysctl, withNamespace } from '../net/index.ts'
import { SystemError } from '../sys/errors.ts'
import { HOST_INTERFACES } from './pod-network.ts'

type Marks = Pick<Schema, 'proxyMark'>

/**
 * Makes the rules, or makes them anew, in the node's namespace. May be called at any time.
 * @returns why not, where they are wanted and cannot be made
 */
export function leaveUntracked(node: Namespace, marks: Marks): string | undefined {
  if (!isTracking(node)) return undefined
  const options = { input: untrackedRules(marks), encoding: 'utf8' } as const
  const { error, status, stderr } = withNamespace(node, () => spawnSync('nft', ['-f', '-'], options))
  if (error) return `nft cannot be run: ${error.message}`
  return status === 0 ? undefined : `nft refuses them: ${stderr.trim()}`
}

/** Input of `nft -f`. @param pods what the names of pods' devices match */
export function untrackedRules({ proxyMark }: Marks, pods = `"${HOST_INTERFACES}"`): string {
  const { MASK, TO_PROXY, FROM_PROXY, ACCEPTED } = proxyMark.number
  const mark = `meta mark & ${hex(MASK)}`
  // Raw: before connections are tracked. The table is made first, so that it can be deleted whether or not it was there.
  return `table inet axoneme
delete table inet axoneme
table inet axoneme {
	chain from_pods {
		type filter hook prerouting priority -300; policy accept;
		iifname ${pods} ${mark} == ${hex(TO_PROXY)} notrack
	}
	chain to_pods {
		type filter hook output priority -300; policy accept;
		oifname ${pods} ${mark} == { ${hex(FROM_PROXY)}, ${hex(ACCEPTED)} } notrack
	}
}
`
}

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`

function isTracking(node: Namespace): boolean {
  try {
    return readSysctl(node, 'net/netfilter/nf_conntrack_max') !== ''
  } catch (error) {
    if (error instanceof SystemError && error.code === 'ENOENT') return false
    throw error
  }
}
