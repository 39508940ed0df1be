// From manifest objects to the intent tables. Every object goes through the reader of
// its kind; one that is not valid leaves its last good row in force and stands in
// `problems` with the field and its place. Nothing is dropped without a word.

import {
  type ManifestObject,
  type Problem as ManifestProblem,
  objectKey as manifestKey,
  type ObjectKey,
  objectName,
  problemOf,
} from '../manifests/index.ts'
import type { Row, Table, Transaction } from '../state/index.ts'
import type { CidrGroup, Policy, Problem, Tables } from '../tables/index.ts'
import { LastGoodObjects } from './last-good.ts'
import type { Memory } from './memory.ts'
import { type IntentRow, readIntent } from './read-intent.ts'
import { Secrets } from './secrets.ts'

/** Writes what a source delivers. One for each source. */
export class IntentController {
  readonly #secrets: Secrets
  readonly #tables: Tables
  readonly #source: string
  readonly #markInitialized: (() => void)[]
  readonly #lastGood: LastGoodObjects
  /** Keys of objects in force as they were before a restart, because they cannot be read now. */
  readonly #restored = new Set<string>()
  /** How to take away the row of an object that is in force. */
  readonly #removals = new Map<ObjectKey, (tx: Transaction) => void>()

  /** @param memory keeps the last good version of each policy and CIDR group */
  constructor(tables: Tables, source: string, memory: Memory, secrets = new Secrets()) {
    this.#tables = tables
    this.#secrets = secrets
    this.#source = source
    this.#lastGood = new LastGoodObjects(memory)
    const { pods, namespaces, nodes, policies, cidrGroups, services, endpointSlices, problems } = tables
    const filled = [pods, namespaces, nodes, policies, cidrGroups, services, endpointSlices, problems]
    this.#markInitialized = filled.map(table => table.registerInitializer(source))
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
        if (this.#hasRow(key)) continue
        if (this.#mayBeDeclared(object)) this.#restore(tx, key, object)
        else this.#lastGood.drop(key)
      }
      for (const mark of this.#markInitialized) mark()
    })
    this.#secrets.initialized()
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
    if (!value) return
    this.#putRow(tx, object, value)
    tx.put(this.#tables.problems, problemRow(`restored ${key}`, problemOf(object, 'warning', [], RESTORED)))
    this.#restored.add(key)
  }

  #endRestored(tx: Transaction, key: string): void {
    tx.delete(this.#tables.problems, `restored ${key}`)
    this.#restored.delete(key)
  }

  /** A restored object goes when all texts can be read again and none holds it. */
  #reviewRestored(tx: Transaction, key: string): void {
    const kept = this.#lastGood.entries().find(([known]) => known === key)?.[1]
    if (kept && this.#hasRow(key) && this.#mayBeDeclared(kept)) return
    if (kept) this.#removals.get(manifestKey(kept))?.(tx)
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
    const key = this.#keptKey(value)
    if (key === undefined) return
    this.#lastGood.keep(key, object)
    this.#endRestored(tx, key)
  }

  /** Under which the last good version of an object is kept; undefined for kinds that need none. */
  #keptKey(value: IntentRow): string | undefined {
    const { policies, cidrGroups } = this.#tables
    if (value.table === 'policies') return policies.spec.key(value.row)
    return value.table === 'cidrGroups' ? `${CIDR_GROUP} ${cidrGroups.spec.key(value.row)}` : undefined
  }

  #hasRow(keptKey: string): boolean {
    const { policies, cidrGroups } = this.#tables
    const isGroup = keptKey.startsWith(`${CIDR_GROUP} `)
    return (isGroup ? cidrGroups.get(keptKey.slice(CIDR_GROUP.length + 1)) : policies.get(keptKey)) !== undefined
  }

  #putRow(tx: Transaction, object: ManifestObject, value: IntentRow): void {
    const { pods, namespaces, nodes, services, endpointSlices } = this.#tables
    const put = <R extends Row>(table: Table<R>, row: R): void => {
      const key = table.spec.key(row)
      tx.put(table, row)
      this.#removals.set(manifestKey(object), later => void later.delete(table, key))
    }
    const putKept = <R extends Policy | CidrGroup>(table: Table<R>, row: R): void => {
      put(table, row)
      const [key, keptKey] = [table.spec.key(row), this.#keptKey(value) ?? '']
      this.#removals.set(manifestKey(object), later => {
        later.delete(table, key)
        this.#endRestored(later, keptKey)
        this.#lastGood.drop(keptKey)
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
      case 'services':
        put(services, value.row)
        break
      case 'endpointSlices':
        put(endpointSlices, value.row)
        break
      case 'none':
        this.#secrets.put(value.secret)
        this.#removals.set(manifestKey(object), () => this.#secrets.delete(value.secret))
        break
      case 'policies':
        putKept(this.#tables.policies, value.row)
        break
      case 'cidrGroups':
        putKept(this.#tables.cidrGroups, value.row)
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

/** First word of the key under which the last good version of a CIDR group is kept. */
const CIDR_GROUP = 'CiliumCIDRGroup'

const problemId = (object: ManifestObject): string => `object ${manifestKey(object)}`

const RESTORED = 'was in force before the restart and stays so, for not everything that may declare it can be read'

function problemRow(id: string, problem: ManifestProblem): Problem {
  const { severity, file, line, column, path } = problem
  const message = path ? `${path}: ${problem.message}` : problem.message
  return { id, severity, object: problem.object ?? '', message, file, line, column }
}
