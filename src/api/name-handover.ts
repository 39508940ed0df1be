// The files in which the agent and the DNS server of the node's proxy leave what the other
// one needs when it is alone: `identities` of the agent, `taught` of the DNS server. Who
// reads or writes them has the lock of the datapath's pins, but for the agent's first look.

import fs from 'node:fs'
import path from 'node:path'
import { type OutsideIdentities, outsideIdentities, type TaughtName, taughtName } from '../dns/index.ts'

/** About 20,000 names: as many addresses as the agent keeps. */
const MOST_TAUGHT_BYTES = 4 << 20

export class NameHandover {
  readonly #identities: string
  readonly #taught: string
  readonly #mostBytes: number
  #read: { readonly version: string; readonly content: OutsideIdentities | undefined } | undefined

  /** @param agentSocket beside which the files are */
  constructor(agentSocket: string, mostTaughtBytes = MOST_TAUGHT_BYTES) {
    this.#identities = `${agentSocket}.identities`
    this.#taught = `${agentSocket}.taught`
    this.#mostBytes = mostTaughtBytes
  }

  /** @returns undefined where there are none, or none that can be read */
  identities(): OutsideIdentities | undefined {
    const stat = fs.statSync(this.#identities, { bigint: true, throwIfNoEntry: false })
    if (!stat) return undefined
    const version = `${stat.ino} ${stat.mtimeNs} ${stat.size}`
    if (this.#read?.version !== version) {
      const parsed = outsideIdentities.safeParse(parseJson(fs.readFileSync(this.#identities, 'utf8')))
      this.#read = { version, content: parsed.data }
    }
    return this.#read.content
  }

  /** In one step. Where that fails there are none. @throws Error when not even the old ones can be taken away */
  writeIdentities(identities: OutsideIdentities): void {
    try {
      replaceFile(this.#identities, JSON.stringify(identities))
    } catch {
      fs.rmSync(this.#identities, { force: true })
    }
  }

  /** What was taught while no agent was there; lines that cannot be read are passed over. */
  taught(): TaughtName[] {
    if (!fs.existsSync(this.#taught)) return []
    return fs
      .readFileSync(this.#taught, 'utf8')
      .split('\n')
      .flatMap(line => taughtName.safeParse(parseJson(line)).data ?? [])
  }

  /** @returns false when there is no room for it. @throws Error */
  addTaught(taught: TaughtName): boolean {
    // A line that a full disk cut short must not take the next one with it.
    const line = `\n${JSON.stringify(taught)}\n`
    if (this.#taughtBytes() + line.length > this.#mostBytes) {
      const kept = newest(this.taught()).map(each => `${JSON.stringify(each)}\n`)
      // Not again for each one to come.
      if (kept.reduce((sum, { length }) => sum + length, line.length) > this.#mostBytes / 2) return false
      replaceFile(this.#taught, kept.join(''))
    }
    fs.appendFileSync(this.#taught, line, { mode: 0o600 })
    return true
  }

  /** The agent has written it down. */
  forgetTaught(): void {
    fs.rmSync(this.#taught, { force: true })
  }

  #taughtBytes(): number {
    return fs.statSync(this.#taught, { throwIfNoEntry: false })?.size ?? 0
  }
}

/** What the kernel's maps are known by: identity numbers mean nothing to others. @param mapId of the ipcache */
export const datapathName = (mapId: number): string =>
  `${fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${mapId}`

/** One for each name: the newest answer with the addresses that it gave. Others of the name stay as lines of their own. */
function newest(taught: readonly TaughtName[]): TaughtName[] {
  const byAnswer = new Map<string, TaughtName>()
  for (const each of taught) {
    const key = [each.name, ...each.addresses.map(({ address }) => address).sort()].join(' ')
    byAnswer.delete(key)
    byAnswer.set(key, each)
  }
  return [...byAnswer.values()]
}

function replaceFile(file: string, content: string): void {
  const fresh = path.join(path.dirname(file), `.${path.basename(file)}.new`)
  fs.writeFileSync(fresh, content, { mode: 0o600 })
  fs.renameSync(fresh, file)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
