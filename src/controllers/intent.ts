// From manifest objects to the intent tables. Every object goes through the reader of
// its kind; one that is not valid leaves its last good row in force and stands in
// `problems` with the field and its place. Nothing is dropped without a word.

import { protocolNumber, shadowedKeys } from '../labels/index.ts'
import {
  apiGroup,
  type ManifestObject,
  type Problem as ManifestProblem,
  objectKey as manifestKey,
  type ObjectKey,
  objectName,
  problemOf,
  readNamespace,
  readNode,
  readPod,
  type Validation,
} from '../manifests/index.ts'
import { readPolicy } from '../policy/index.ts'
import type { Row, Table, Transaction } from '../state/index.ts'
import { type Namespace, type Node, type Pod, type Policy, type Problem, type Tables } from '../tables/index.ts'
import { LastGoodPolicies } from './last-good.ts'
import type { Memory } from './memory.ts'

/** A row for one of the intent tables. */
type IntentRow =
  | { readonly table: 'pods'; readonly row: Pod }
  | { readonly table: 'namespaces'; readonly row: Namespace }
  | { readonly table: 'nodes'; readonly row: Node }
  | { readonly table: 'policies'; readonly row: Policy }

/** What the object says for the tables: a row, or why not. An object of a kind that is not used gives neither. */
export function readIntent(object: ManifestObject): Validation<IntentRow> {
  const { origin } = object
  const kind = `${apiGroup(object.apiVersion)}/${object.kind}`
  switch (kind) {
    case '/Pod':
      return podIntent(object)
    case '/Namespace':
      return mapValue(readNamespace(object), ({ name, labels }) => ({
        table: 'namespaces',
        row: { name, labels, origin },
      }))
    case '/Node':
      return mapValue(readNode(object), ({ name, addresses }) => ({
        table: 'nodes',
        row: { name, addresses: addresses.map(({ address }) => address), origin },
      }))
    default:
      return policyIntent(object)
  }
}

function podIntent(object: ManifestObject): Validation<IntentRow> {
  const { value: pod, problems } = readPod(object)
  if (!pod) return { problems }
  const row: Pod = {
    namespace: pod.namespace,
    name: pod.name,
    labels: pod.labels,
    serviceAccount: pod.serviceAccount,
    hostNetwork: pod.hostNetwork,
    ...(pod.nodeName && { node: pod.nodeName }),
    // What has ended has no address any more: another pod may have it.
    addresses: pod.phase === 'Succeeded' || pod.phase === 'Failed' ? [] : pod.ips,
    ports: pod.namedPorts.map(({ name, protocol, port }) => ({ name, protocol: protocolNumber(protocol) ?? 0, port })),
    origin: object.origin,
  }
  const shadowed = shadowedKeys(pod.labels).map(key =>
    problemOf(object, 'warning', ['metadata', 'labels', key], SHADOWED),
  )
  return { value: { table: 'pods', row }, problems: [...problems, ...shadowed] }
}

const SHADOWED =
  'is a name that identities use for what Kubernetes itself says of a pod; the label changes nothing of that, and only ' +
  'a podSelector that names it sees it'

function policyIntent(object: ManifestObject): Validation<IntentRow> {
  const read = readPolicy(object)
  if (!read) return { problems: [problemOf(object, 'warning', ['kind'], `${object.kind} is not used here`)] }
  const { origin } = object
  return mapValue(read, rules => {
    const { kind, namespace, name } = rules.ref
    return { table: 'policies', row: { kind, namespace, name, rules, origin } }
  })
}

function mapValue<From, To>({ value, problems }: Validation<From>, map: (value: From) => To): Validation<To> {
  return value === undefined ? { problems } : { value: map(value), problems }
}

/** Writes what a source delivers. One for each source. */
export class IntentController {
  readonly #tables: Tables
  readonly #source: string
  readonly #markInitialized: (() => void)[]
  readonly #lastGood: LastGoodPolicies
  /** Keys of policies in force as they were before a restart, because they cannot be read now. */
  readonly #restored = new Set<string>()
  /** How to take away the row of an object that is in force. */
  readonly #removals = new Map<ObjectKey, (tx: Transaction) => void>()

  /** @param memory keeps the last good version of each policy */
  constructor(tables: Tables, source: string, memory: Memory) {
    this.#tables = tables
    this.#source = source
    this.#lastGood = new LastGoodPolicies(memory)
    const { pods, namespaces, nodes, policies, problems } = tables
    this.#markInitialized = [pods, namespaces, nodes, policies, problems].map(table =>
      table.registerInitializer(source),
    )
  }

  /** Objects that are new or changed, and what is gone. */
  apply(changes: { readonly put: readonly ManifestObject[]; readonly deleted: readonly ManifestObject[] }): void {
    this.#tables.database.write(tx => {
      for (const object of changes.deleted) this.#delete(tx, object)
      for (const object of changes.put) this.#put(tx, object)
    })
  }

  /** Problems of the source itself, all that there are now. */
  report(problems: readonly ManifestProblem[]): void {
    const rows = problems.map((problem, i) => problemRow(`${this.#source} ${i}`, problem))
    this.#tables.database.write(tx => {
      for (const old of this.#tables.problems.all())
        if (old.id.startsWith(`${this.#source} `)) tx.delete(this.#tables.problems, old.id)
      for (const row of rows) tx.put(this.#tables.problems, row)
      for (const key of this.#restored) this.#reviewRestored(tx, key)
    })
  }

  /** The source has delivered all that it had at its start. */
  initialized(): void {
    this.#tables.database.write(tx => {
      for (const [key, object] of this.#lastGood.entries()) {
        if (this.#tables.policies.get(key)) continue
        if (this.#mayBeDeclared(object)) this.#restore(tx, key, object)
        else this.#lastGood.drop(key)
      }
      for (const mark of this.#markInitialized) mark()
    })
  }

  /**
   * Whether the object is not known to be gone: it or its file has errors now, or there is a text or a folder that cannot be
   * read. That one may hold it under any name, for an object's origin is where its author wrote it.
   */
  #mayBeDeclared(object: ManifestObject): boolean {
    const { problems } = this.#tables
    const about = [objectName(object), ''].flatMap(name => problems.by('object', name))
    return [...about, ...problems.by('file', object.origin.file)].some(problem => problem.severity === 'error')
  }

  #restore(tx: Transaction, key: string, object: ManifestObject): void {
    const { value } = readIntent(object)
    if (value?.table !== 'policies') return
    this.#putRow(tx, object, value)
    tx.put(this.#tables.problems, problemRow(`restored ${key}`, problemOf(object, 'warning', [], RESTORED)))
    this.#restored.add(key)
  }

  #endRestored(tx: Transaction, key: string): void {
    tx.delete(this.#tables.problems, `restored ${key}`)
    this.#restored.delete(key)
  }

  /** A restored policy goes when all texts can be read again and none holds it. */
  #reviewRestored(tx: Transaction, key: string): void {
    const row = this.#tables.policies.get(key)
    const kept = this.#lastGood.entries().find(([known]) => known === key)?.[1]
    if (row && kept && this.#mayBeDeclared(kept)) return
    tx.delete(this.#tables.policies, key)
    this.#endRestored(tx, key)
    this.#lastGood.drop(key)
  }

  #put(tx: Transaction, object: ManifestObject): void {
    const { value, problems } = readIntent(object)
    this.#forgetProblems(tx, object)
    const about = manifestKey(object)
    problems.forEach((problem, i) =>
      tx.put(this.#tables.problems, { ...problemRow(`${problemId(object)} ${i}`, problem), about }),
    )
    if (!value) return
    this.#putRow(tx, object, value)
    if (value.table !== 'policies') return
    const key = this.#tables.policies.spec.key(value.row)
    this.#lastGood.keep(key, object)
    this.#endRestored(tx, key)
  }

  #putRow(tx: Transaction, object: ManifestObject, value: IntentRow): void {
    const { pods, namespaces, nodes, policies } = this.#tables
    const put = <R extends Row>(table: Table<R>, row: R, whenGone?: (tx: Transaction, key: string) => void): void => {
      const key = table.spec.key(row)
      tx.put(table, row)
      this.#removals.set(manifestKey(object), later => {
        later.delete(table, key)
        whenGone?.(later, key)
      })
    }
    switch (value.table) {
      case 'pods':
        put(pods, value.row)
        break
      case 'namespaces':
        put(namespaces, value.row)
        break
      case 'nodes':
        put(nodes, value.row)
        break
      case 'policies':
        put(policies, value.row, (later, key) => {
          this.#endRestored(later, key)
          this.#lastGood.drop(key)
        })
        break
    }
  }

  /** Of the object itself; what the source has to say of it stays until the source takes it back. */
  #forgetProblems(tx: Transaction, object: ManifestObject): void {
    const { problems } = this.#tables
    for (const { id } of problems.by('object', objectName(object)))
      if (id.startsWith(`${problemId(object)} `)) tx.delete(problems, id)
  }

  /** Takes away what this very object has put: one of another API group may have the same kind and name. */
  #delete(tx: Transaction, object: ManifestObject): void {
    const key = manifestKey(object)
    this.#forgetProblems(tx, object)
    this.#removals.get(key)?.(tx)
    this.#removals.delete(key)
  }
}

const problemId = (object: ManifestObject): string => `object ${manifestKey(object)}`

const RESTORED = 'was in force before the restart and stays so, for not everything that may declare it can be read'

function problemRow(id: string, problem: ManifestProblem): Problem {
  const { severity, file, line, column, path } = problem
  const message = path ? `${path}: ${problem.message}` : problem.message
  return { id, severity, object: problem.object ?? '', message, file, line, column }
}
