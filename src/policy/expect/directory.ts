// Whom an expectation means: names, patterns, addresses and descriptions of pods to the
// places of a cluster.

import { type Cidr, parseCidr, parseIp } from '../../ip/index.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { isInside, nodePlaces, type Place, placeOfName, podPlaces, worldPlaces } from '../cluster/places.ts'
import type { EndsContent, PodsContent } from './expectations-schema.ts'

/** Words that stand for more than pods. */
const WORLD = 'world'
const NODES = 'nodes'
const ANYONE = 'anyone'

export type Selected = {
  readonly places: readonly Place[]
  /** What is said of each item that means nobody. */
  readonly problems: readonly string[]
}

export class Directory {
  readonly #cluster: Cluster
  readonly #pods: readonly Place[]
  readonly #nodes: readonly Place[]
  readonly #world: readonly Place[]
  readonly #byAddress = new Map<string, Place>()

  /** `ends`: all that will be asked for; the prefixes in them are kept apart from the rest of the world. */
  constructor(cluster: Cluster, ends: readonly EndsContent[]) {
    this.#cluster = cluster
    this.#pods = podPlaces(cluster)
    this.#nodes = nodePlaces(cluster)
    this.#world = worldPlaces([cluster], prefixesIn(ends))
  }

  /** Pods, nodes and world. */
  everybody(): Place[] {
    return [...this.#pods, ...this.#nodes, ...this.#world]
  }

  select(ends: EndsContent): Selected {
    const problems: string[] = []
    const places = new Set<Place>()
    for (const item of Array.isArray(ends) ? ends : [ends]) {
      const found = typeof item === 'string' ? this.#named(item) : this.#described(item)
      if (typeof found === 'string') problems.push(found)
      else for (const place of found) places.add(place)
    }
    return { places: [...places], problems }
  }

  #named(text: string): readonly Place[] | string {
    if (text === WORLD) return this.#world
    if (text === NODES) return this.#nodes
    if (text === ANYONE) return this.everybody()
    const prefix = parseCidr(text)
    if (prefix) {
      const inside = this.#world.filter(place => isInside(place, prefix))
      return inside.length > 0 ? inside : `${text} holds no address outside the cluster`
    }
    const address = parseIp(text)
    if (address) return [this.#at(text)]
    if (DNS_NAME.test(text)) return [placeOfName(this.#cluster, text)]
    const isPattern = text === '*' || text.split('/').length === 2
    if (!isPattern)
      return `"${text}" means nobody: write NAMESPACE/NAME (* stands for any text), an address, a prefix, a DNS name, ${WORLD}, ${NODES} or ${ANYONE}`
    const matching = this.#pods.filter(({ name }) => matchesGlob(name, text === '*' ? '*/*' : text))
    return matching.length > 0 ? matching : `${text} matches no pod of the manifests`
  }

  #at(text: string): Place {
    const known = this.#byAddress.get(text)
    if (known) return known
    const address = parseIp(text)
    if (!address) throw new TypeError(`${text} is no address`)
    const end = this.#cluster.endAt(address)
    const name = end.kind === 'pod' ? `${end.pod.namespace}/${end.pod.name} (${text})` : text
    const place: Place = { kind: end.kind, name, ends: [end], ...(end.kind === 'pod' && { pod: end.pod }) }
    this.#byAddress.set(text, place)
    return place
  }

  #described(wanted: PodsContent): readonly Place[] | string {
    const { namespaceLabels } = this.#cluster.content
    const matching = this.#pods.filter(({ pod }) => {
      if (!pod) return false
      const ofNamespace = {
        'kubernetes.io/metadata.name': pod.namespace,
        ...namespaceLabels.get(pod.namespace),
      }
      return (
        isLike(pod.namespace, wanted.namespace) &&
        isLike(pod.name, wanted.name) &&
        isLike(pod.serviceAccount, wanted.serviceAccount) &&
        hasLabels(pod.labels, wanted.labels) &&
        hasLabels(ofNamespace, wanted.namespaceLabels)
      )
    })
    return matching.length > 0 ? matching : `${JSON.stringify(wanted)} matches no pod of the manifests`
  }
}

/** With a dot at least, so that what is meant to be a pod's name is not taken for one. */
const DNS_NAME = /^[-\w]+(\.[-\w]+)+\.?$/

function prefixesIn(ends: readonly EndsContent[]): Cidr[] {
  return ends.flat().flatMap(item => (typeof item === 'string' ? (parseCidr(item) ?? []) : []))
}

const isLike = (value: string, pattern: string | undefined): boolean =>
  pattern === undefined || matchesGlob(value, pattern)

const hasLabels = (labels: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>> = {}): boolean =>
  Object.entries(wanted).every(([key, value]) => {
    const found = Object.hasOwn(labels, key) ? labels[key] : undefined
    return found !== undefined && isLike(found, value)
  })

/** `*` stands for any text, also across dots, but not across the slash. In linear time, whatever the pattern is. */
function matchesGlob(text: string, glob: string): boolean {
  const [texts, globs] = [text.split('/'), glob.split('/')]
  return texts.length === globs.length && globs.every((part, i) => matchesPart(texts[i] ?? '', part))
}

function matchesPart(text: string, glob: string): boolean {
  const [first = '', ...others] = glob.split('*')
  const last = others.pop()
  if (last === undefined) return text === first
  if (!text.startsWith(first)) return false
  let end = first.length
  // To take each piece at its first place leaves most of the text for those after it.
  for (const piece of others) {
    const found = text.indexOf(piece, end)
    if (found < 0) return false
    end = found + piece.length
  }
  return text.length - last.length >= end && text.endsWith(last)
}
