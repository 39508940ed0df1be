// One measurement of the policy engine in a process of its own, so that memory is told apart and nothing is warm that
// would not be: node --expose-gc policy-program.ts PART ROUNDS. Prints its samples as one line of JSON.

import { reservedLabels, withLabels } from '../../src/labels/index.ts'
import {
  Cluster,
  type ClusterContent,
  explain,
  explainPod,
  NamedPeers,
  type PolicyRepository,
  PROTOCOLS,
  podName,
  reach,
  readQuestion,
} from '../../src/policy/index.ts'
import { random } from '../../src/policy/testing/random.ts'
import { syntheticCluster } from '../../src/policy/testing/synthetic-cluster.ts'
import { naiveEntries } from '../testbed/naive-expansion.ts'
import {
  identitiesOf,
  identityLabels,
  MEASURED,
  manyRules,
  readSynthetic,
  resolveAll,
  subjectOf,
  subjectsOf,
  versions,
} from '../testbed/policy-cluster.ts'
import { publishedClusters } from '../testbed/published-cases.ts'

const RULES = 10_000
const REACH_PODS = 1000
const EXPLAINED_PORTS = ['443/TCP', '8080/TCP', '9090/TCP', '8443/UDP', '53/UDP', '8/ICMP']
const PORTS = [80, 443, 8080, 9090].map(port => ({ protocol: PROTOCOLS.TCP, port }))

export type Samples = Readonly<Record<string, readonly number[]>>

const PARTS: Readonly<Record<string, (rounds: number) => Samples>> = {
  cold,
  policies: changePolicies,
  pods: changePods,
  'many-rules': resolveManyRules,
  explain: explainRandom,
  reach: reachAll,
  'map-content': countEntries,
}

const [part = '', rounds = '1'] = process.argv.slice(2)
const measure = PARTS[part]
if (!measure) throw new Error(`there is no part ${part}`)
console.log(JSON.stringify(measure(Number(rounds))))

/** `cpuMs`: of all threads, the collector's included. */
function timed<T>(action: () => T): { readonly ms: number; readonly cpuMs: number; readonly value: T } {
  const cpuBefore = process.cpuUsage()
  const before = performance.now()
  const value = action()
  const ms = performance.now() - before
  const { user, system } = process.cpuUsage(cpuBefore)
  return { ms, cpuMs: (user + system) / 1000, value }
}

function measuredContent(): ClusterContent {
  return readSynthetic(syntheticCluster(MEASURED))
}

function collectGarbage(): void {
  if (!globalThis.gc) throw new Error('needs --expose-gc')
  globalThis.gc()
}

/** From pods and policies that are read to the policy of every pod: identities, indexes, entries and their keys. */
function cold(): Samples {
  const content = measuredContent()
  collectGarbage()
  const before = process.memoryUsage()
  const { ms, cpuMs, value } = timed(() => {
    const cluster = new Cluster(content)
    return { cluster, maps: resolveAll(cluster) }
  })
  const growth = process.memoryUsage().rss - before.rss
  collectGarbage()
  const kept = process.memoryUsage().heapUsed - before.heapUsed
  const entries = [...value.maps.values()].reduce((sum, count) => sum + count, 0)
  const identities = identitiesOf(value.cluster).size
  return {
    ms: [ms],
    cpuMs: [cpuMs],
    growth: [growth],
    kept: [kept],
    maps: [value.maps.size],
    entries: [entries],
    identities: [identities],
  }
}

/** Resolves again everyone whom a change may have touched, as an agent does that has all of them. */
function resolveChanged(repository: PolicyRepository): number {
  const changed = repository.changes()
  for (const subject of changed) repository.resolve(subject)
  return changed.length
}

/** A policy is replaced by another version of itself; the way back is not timed. */
function changePolicies(rounds: number): Samples {
  const cluster = new Cluster(measuredContent())
  resolveAll(cluster)
  const { repository } = cluster
  const policies = versions(MEASURED)
  const samples: Record<'one' | 'all', number[]> = { one: [], all: [] }
  for (let round = 0; round < rounds; round++) {
    const { now, other } = policies[(round * 37) % policies.length] as (typeof policies)[number]
    const { ms } = timed(() => {
      repository.setPolicy(other)
      resolveChanged(repository)
    })
    samples[now.ref.namespace === '' ? 'all' : 'one'].push(ms)
    repository.setPolicy(now)
    resolveChanged(repository)
  }
  return samples
}

/** A pod gets another label: one that nobody had, which makes an identity, or those of another application. */
function changePods(rounds: number): Samples {
  const content = measuredContent()
  const cluster = new Cluster(content)
  resolveAll(cluster)
  const { repository } = cluster
  const first = 1 + Math.max(...identitiesOf(cluster).keys())
  const samples: Record<'fresh' | 'known', number[]> = { fresh: [], known: [] }
  for (let round = 0; round < rounds; round++) {
    const pod = content.pods[(round * 31) % content.pods.length]
    const next = content.pods[(round * 31 + 1) % content.pods.length]
    if (!pod || !next) throw new RangeError('no such pod')
    for (const [kind, labels] of [
      ['fresh', { ...pod.labels, version: `v${round}` }],
      ['known', next.labels],
    ] as const) {
      const changed = { ...pod, ...(kind === 'known' && next), labels }
      const { ms, value } = timed(() => {
        const identity = first + round
        if (kind === 'fresh') repository.setIdentity(identity, identityLabels(changed, content, repository))
        const subject = subjectOf(changed, content, repository)
        repository.resolve(subject)
        resolveChanged(repository)
        return { subject, identity }
      })
      samples[kind].push(ms)
      if (kind === 'known') continue
      repository.forget(value.subject)
      repository.deleteIdentity(value.identity)
      resolveChanged(repository)
    }
  }
  return samples
}

/** The prefixes that the policy names have identities before it is resolved, as they have in an agent. */
function resolveManyRules(): Samples {
  const content = measuredContent()
  const resolved = (subject: Parameters<typeof manyRules>[1]) => {
    const cluster = new Cluster(content)
    resolveAll(cluster)
    const { repository } = cluster
    const policy = manyRules(RULES, subject)
    const set = timed(() => repository.setPolicy(policy))
    let number = 1 << 24
    for (const { prefix } of repository.references().prefixes)
      repository.setIdentity(
        number++,
        withLabels(reservedLabels('world-ipv4'), [{ source: 'cidr', key: prefix.text, value: '' }]),
      )
    const { ms, cpuMs, value } = timed(() => resolveChanged(repository))
    return { ms: set.ms + ms, cpuMs: set.cpuMs + cpuMs, subjects: value, prefixes: number - (1 << 24) }
  }
  const one = resolved('application')
  const all = resolved('namespace')
  return {
    ms: [one.ms],
    cpuMs: [one.cpuMs],
    namespaceMs: [all.ms],
    namespaceCpuMs: [all.cpuMs],
    subjects: [all.subjects],
    prefixes: [all.prefixes],
  }
}

function reachAll(): Samples {
  const cluster = new Cluster(readSynthetic(syntheticCluster({ ...MEASURED, pods: REACH_PODS })))
  let rows = 0
  let allowed = 0
  const { ms } = timed(() => {
    for (const { verdict } of reach(cluster, PORTS)) {
      rows++
      if (verdict === 'allowed') allowed++
    }
  })
  return { seconds: [ms / 1000], rows: [rows], allowed: [allowed] }
}

/** Of a cluster that is resolved: pods to pods and to the world, allowed and denied as chance has it. */
function explainRandom(rounds: number): Samples {
  const cluster = new Cluster(measuredContent())
  resolveAll(cluster)
  const choose = random(MEASURED.seed)
  const { pods } = cluster.content
  const samples: Record<'ms' | 'podMs', number[]> = { ms: [], podMs: [] }
  for (let round = 0; round < rounds; round++) {
    const from = podName(choose.pick(pods))
    const to = choose.oneIn(4) ? '198.51.100.7' : podName(choose.pick(pods))
    const port = choose.pick(EXPLAINED_PORTS)
    samples.ms.push(timed(() => explain(cluster, readQuestion(cluster, from, to, port))).ms)
    if (round % 10 === 0) samples.podMs.push(timed(() => explainPod(cluster, choose.pick(pods))).ms)
  }
  return samples
}

function countEntries(): Samples {
  const measured = countOf(new Cluster(measuredContent()))
  const published = publishedClusters().map(countOf)
  const sum = (of: (count: ReturnType<typeof countOf>) => number) =>
    published.reduce((total, count) => total + of(count), 0)
  return {
    entries: [measured.entries],
    naive: [measured.naive],
    written: [measured.written],
    publishedEntries: [sum(({ entries }) => entries)],
    publishedNaive: [sum(({ naive }) => naive)],
    publishedWritten: [sum(({ written }) => written)],
  }
}

function countOf(cluster: Cluster): { readonly entries: number; readonly naive: number; readonly written: number } {
  const identities = identitiesOf(cluster)
  const named = new NamedPeers(cluster.content)
  const policies = cluster.content.policies.map(policy => named.expand(policy))
  const total = { entries: 0, naive: 0, written: 0 }
  for (const subject of subjectsOf(cluster)) {
    const { keys, written } = naiveEntries(policies, identities, subject)
    total.entries += cluster.repository.resolve(subject).entries.length
    total.naive += keys
    total.written += written
  }
  return total
}
