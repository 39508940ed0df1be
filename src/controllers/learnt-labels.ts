// Which labels an address outside the cluster has by the names that were answered with
// it: those of the selectors in use that select one of them. Addresses whose names the
// same selectors select have one label set, so one identity, however many they are.

import { type Cidr, cidr, type IpAddress, parseIp } from '../ip/index.ts'
import { addressLabels, type LabelSet, nameLabel, reservedLabels, withLabels } from '../labels/index.ts'
import { NameSelectors, type References } from '../policy/index.ts'

/** Names are answered without end, and those that were asked for once are worked out anew soon enough. */
const MOST_KEPT = 100_000

const WHOLE = [cidr('0.0.0.0/0'), cidr('::/0')]

const worldOf = (place: IpAddress | Cidr): LabelSet => reservedLabels(place.family === 4 ? 'world-ipv4' : 'world-ipv6')

/** Labels of a prefix, or an address, of the world. */
export const worldLabels = (place: IpAddress | Cidr, references: References): LabelSet =>
  addressLabels(worldOf(place), place, references)

export class LearntLabels {
  #revision = -1
  #selectors = new NameSelectors([])
  readonly #byName = new Map<string, readonly string[]>()
  readonly #sets = new Map<string, LabelSet>()
  /** Every change asks for every address, and of nearly all nothing has changed. */
  readonly #byAddress = new Map<string, { readonly names: string; readonly labels: LabelSet | undefined }>()

  /**
   * Labels of an address with these names; undefined where no selector selects any of them.
   * @param address canonical @param names canonical
   */
  of(address: string, names: readonly string[], references: References): LabelSet | undefined {
    this.#follow(references)
    const key = names.join(' ')
    const known = this.#byAddress.get(address)
    if (known?.names === key) return known.labels
    const selectors = new Set(names.flatMap(name => this.#selecting(name)))
    const place = selectors.size > 0 ? parseIp(address) : undefined
    const labels = place && this.#labels(place, [...selectors], references)
    this.#byAddress.set(address, { names: key, labels })
    return labels
  }

  /**
   * Label sets that the usual address will have: of one name or pattern, in no narrow prefix. Their identities are in
   * force before the first such name is answered.
   */
  usual(references: References): LabelSet[] {
    this.#follow(references)
    return [...references.nameSelectors].flatMap(text => {
      // A name is selected by patterns too; what stands for a pattern is a name that nothing else selects.
      const selectors = text.includes('*') ? [text] : this.#selectors.selecting(text)
      return WHOLE.map(place => this.#labels(place, selectors, references))
    })
  }

  #follow(references: References): void {
    const isOutdated = this.#revision !== references.revision
    const kept = [this.#byName, this.#sets, this.#byAddress]
    if (!isOutdated && kept.every(({ size }) => size < MOST_KEPT)) return
    for (const each of kept) each.clear()
    if (isOutdated) this.#selectors = new NameSelectors(references.nameSelectors)
    this.#revision = references.revision
  }

  #selecting(name: string): readonly string[] {
    const known = this.#byName.get(name) ?? this.#selectors.selecting(name)
    this.#byName.set(name, known)
    return known
  }

  #labels(place: IpAddress | Cidr, selectors: readonly string[], references: References): LabelSet {
    const prefixes = references.prefixes.covering(place).map(({ prefix }) => prefix.text)
    const key = [place.family, ...prefixes, ...selectors.toSorted()].join(' ')
    const labels = this.#sets.get(key) ?? withLabels(worldLabels(place, references), selectors.map(nameLabel))
    this.#sets.set(key, labels)
    return labels
  }
}
