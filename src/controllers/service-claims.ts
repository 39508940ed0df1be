// Which service has an address and port that several claim. Pure.

import { type Claim, compareClaims, type ResolvedService } from '../services/index.ts'
import { endpointKey } from './service-numbers.ts'

/** A claim of one of those whose rows are written; `key` is that of the row. */
type Claimant = Claim & { readonly key: string }

export class ServiceClaims {
  /** By address, port and protocol; most have one. */
  readonly #claimants = new Map<string, Claimant | Claimant[]>()
  readonly #textsByKey = new Map<string, readonly string[]>()

  /**
   * Notes what one claims now; undefined: nothing any more.
   * @returns keys of others who claim some of what it claims or claimed
   */
  set(key: string, resolved: ResolvedService | undefined, createdAt: string | undefined): Set<string> {
    const others = new Set<string>()
    for (const text of this.#textsByKey.get(key) ?? []) this.#remove(key, text, others)
    this.#textsByKey.delete(key)
    if (!resolved) return others
    const { namespace, name, ports } = resolved
    const texts = ports.flatMap(({ frontends, protocol }) =>
      frontends.map(({ address, port, kind }) => {
        const text = endpointKey({ address, port, protocol })
        this.#add(text, { key, namespace, name, kind, ...(createdAt !== undefined && { createdAt }) }, others)
        return text
      }),
    )
    if (texts.length > 0) this.#textsByKey.set(key, texts)
    return others
  }

  /** Who has it instead, and with which claim one lost; undefined where it is one's own. */
  lostTo(key: string, text: string): { readonly loser: Claim; readonly owner: Claim } | undefined {
    const claimants = this.#claimants.get(text)
    if (!Array.isArray(claimants)) return undefined
    const [owner] = claimants
    const loser = claimants.find(claimant => claimant.key === key)
    return owner && loser && owner.key !== key ? { loser, owner } : undefined
  }

  #add(text: string, claim: Claimant, others: Set<string>): void {
    const known = this.#claimants.get(text)
    if (!known) {
      this.#claimants.set(text, claim)
      return
    }
    const all = Array.isArray(known) ? known : [known]
    for (const other of all) if (other.key !== claim.key) others.add(other.key)
    this.#claimants.set(text, [...all, claim].sort(compareClaims))
  }

  #remove(key: string, text: string, others: Set<string>): void {
    const known = this.#claimants.get(text)
    if (!known) return
    const left = (Array.isArray(known) ? known : [known]).filter(claimant => claimant.key !== key)
    for (const other of left) others.add(other.key)
    const [first] = left
    if (!first) this.#claimants.delete(text)
    else this.#claimants.set(text, left.length === 1 ? first : left)
  }
}
