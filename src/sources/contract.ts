// The tests that every source of declared objects passes: `sourceContract` registers
// them for one kind of source. A world is that source with the means to declare
// objects behind its back; what is checked is what a sink is told.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { type ManifestObject, type ObjectKey, objectKey, type Problem } from '../manifests/index.ts'
import type { ManifestSource, ObjectChanges, ObjectSink } from './source.ts'

export type SourceWorld = {
  readonly source: ManifestSource
  /** Makes these the declared objects, each the text of one manifest under a name of its own. Others go. */
  declare(texts: Readonly<Record<string, string>>): Promise<void> | void
  /** Called repeatedly while waiting for something to be delivered: lets time pass. */
  tick(): Promise<void> | void
  close(): Promise<void> | void
}

/** A sink that keeps what it was told. */
export class RecordingSink implements ObjectSink {
  readonly objects = new Map<ObjectKey, ManifestObject>()
  readonly log: string[] = []
  problems: readonly Problem[] = []
  isInitialized = false

  apply({ put, deleted }: ObjectChanges): void {
    assert.ok(put.length + deleted.length > 0, 'never called with nothing')
    for (const object of deleted) {
      assert.ok(this.objects.delete(objectKey(object)), `${objectKey(object)} was deleted but never put`)
      this.log.push(`- ${objectKey(object)}`)
    }
    for (const object of put) {
      this.objects.set(objectKey(object), object)
      this.log.push(`+ ${objectKey(object)}`)
    }
  }

  report(problems: readonly Problem[]): void {
    assert.notDeepEqual(problems, this.problems, 'only told when they differ')
    this.problems = problems
    this.log.push('! problems')
  }

  initialized(): void {
    assert.equal(this.isInitialized, false, 'called once')
    this.isInitialized = true
    this.log.push('initialized')
  }

  /** Key to the value of the label `v`, for comparing states. */
  state(): Record<ObjectKey, string | undefined> {
    return Object.fromEntries([...this.objects].map(([key, object]) => [key, object.metadata.labels['v']]))
  }
}

/** Waits until the condition holds. @throws after a time that no working source takes */
export async function until(world: Pick<SourceWorld, 'tick'>, what: string, condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 20_000
  while (!condition()) {
    assert.ok(performance.now() < deadlineMs, `never: ${what}`)
    await world.tick()
  }
}

export const pod = (name: string, version: string): string =>
  `apiVersion: v1\nkind: Pod\nmetadata:\n  name: ${name}\n  labels:\n    v: ${JSON.stringify(version)}\nspec: {}\n`
const refusedPod = (name: string): string => pod(name, 'not a label value')
const BROKEN = 'kind: "Pod\n'

type Texts = Readonly<Record<string, string>>
type Want = Readonly<Record<ObjectKey, string>>

/** Sound states, and what a sink has in each. */
const STATES: Readonly<Record<string, { readonly texts: Texts; readonly want: Want }>> = {
  empty: { texts: {}, want: {} },
  one: { texts: { a: pod('a', '1') }, want: { 'Pod/default/a': '1' } },
  'one, changed': { texts: { a: pod('a', '2') }, want: { 'Pod/default/a': '2' } },
  'another one': { texts: { b: pod('b', '1') }, want: { 'Pod/default/b': '1' } },
  several: {
    texts: { a: pod('a', '1'), b: pod('b', '2'), c: pod('c', '3') },
    want: { 'Pod/default/a': '1', 'Pod/default/b': '2', 'Pod/default/c': '3' },
  },
}

/** Registers the tests for a kind of source. */
export function sourceContract(kind: string, makeWorld: () => Promise<SourceWorld> | SourceWorld): void {
  /** Runs a source over a first state, and hands over once it has delivered that. */
  async function withSource(first: Texts, body: (world: SourceWorld, sink: RecordingSink) => Promise<void>) {
    const world = await makeWorld()
    const stop = new AbortController()
    const sink = new RecordingSink()
    try {
      await world.declare(first)
      const done = world.source.run(sink, stop.signal)
      await until(world, 'initialised', () => sink.isInitialized)
      await body(world, sink)
      stop.abort()
      await done
    } finally {
      stop.abort()
      await world.close()
    }
  }

  const reaches = (world: SourceWorld, sink: RecordingSink, want: Want) => {
    const what = `state ${JSON.stringify(want)}, is ${JSON.stringify(sink.state())}`
    return until(world, what, () => isDeepStrictEqual(sink.state(), want))
  }

  test(`${kind}: what is there at the start is delivered before "initialised", and only once`, async () => {
    const { texts, want } = STATES['several'] ?? assert.fail()
    await withSource(texts, async (_world, sink) => {
      assert.deepEqual(sink.state(), want)
      assert.deepEqual(sink.log.toSorted(), [...Object.keys(want).map(key => `+ ${key}`), 'initialized'].sort())
      assert.equal(sink.log.at(-1), 'initialized')
    })
  })

  test(`${kind}: nothing is a start too`, async () => {
    await withSource({}, async (_world, sink) => assert.deepEqual(sink.log, ['initialized']))
  })

  test(`${kind}: any state to any state`, async () => {
    await withSource({}, async (world, sink) => {
      for (const from of Object.values(STATES)) {
        for (const to of Object.values(STATES)) {
          await world.declare(from.texts)
          await reaches(world, sink, from.want)
          await world.declare(to.texts)
          await reaches(world, sink, to.want)
        }
      }
      assert.deepEqual(sink.problems, [])
    })
  })

  test(`${kind}: only what differs is delivered`, async () => {
    await withSource({ a: pod('a', '1'), b: pod('b', '1') }, async (world, sink) => {
      sink.log.length = 0
      await world.declare({ a: pod('a', '2'), b: pod('b', '1'), c: pod('c', '1') })
      await reaches(world, sink, { 'Pod/default/a': '2', 'Pod/default/b': '1', 'Pod/default/c': '1' })
      assert.deepEqual(sink.log.sort(), ['+ Pod/default/a', '+ Pod/default/c'])
    })
  })

  for (const [name, text] of Object.entries({ 'a refused': refusedPod('a'), 'a broken': BROKEN })) {
    test(`${kind}: ${name} object stays as it was, is reported, and hurts nobody; corrected, it is taken`, async () => {
      await withSource({ a: pod('a', '1'), b: pod('b', '1') }, async (world, sink) => {
        await world.declare({ a: text, b: pod('b', '2') })
        await reaches(world, sink, { 'Pod/default/a': '1', 'Pod/default/b': '2' })
        await until(world, 'a problem', () => sink.problems.some(problem => problem.severity === 'error'))
        await world.declare({ a: pod('a', '3'), b: pod('b', '2') })
        await reaches(world, sink, { 'Pod/default/a': '3', 'Pod/default/b': '2' })
        await until(world, 'no problem', () => sink.problems.length === 0)
        assert.ok(!sink.log.some(line => line.startsWith('-')))
      })
    })

    test(`${kind}: ${name} object at the start is reported and does not keep the source from being initialised`, async () => {
      await withSource({ a: text, b: pod('b', '1') }, async (_world, sink) => {
        assert.deepEqual(sink.state(), { 'Pod/default/b': '1' })
        assert.ok(sink.problems.some(problem => problem.severity === 'error' && problem.line >= 1))
      })
    })

    test(`${kind}: ${name} object that is taken away is deleted`, async () => {
      await withSource({ a: pod('a', '1') }, async (world, sink) => {
        await world.declare({ a: text })
        await until(world, 'a problem', () => sink.problems.length > 0)
        await world.declare({})
        await reaches(world, sink, {})
        await until(world, 'no problem', () => sink.problems.length === 0)
      })
    })
  }

  test(`${kind}: after an abort nothing is delivered`, async () => {
    const world = await makeWorld()
    try {
      const stop = new AbortController()
      const sink = new RecordingSink()
      const done = world.source.run(sink, stop.signal)
      await until(world, 'initialised', () => sink.isInitialized)
      stop.abort()
      await done
      await world.declare({ a: pod('a', '1') })
      for (let i = 0; i < 20; i++) await world.tick()
      assert.deepEqual(sink.log, ['initialized'])
    } finally {
      await world.close()
    }
  })

  test(`${kind}: a run with an aborted signal delivers nothing`, async () => {
    const world = await makeWorld()
    const sink = new RecordingSink()
    await world.source.run(sink, AbortSignal.abort())
    assert.deepEqual(sink.log, [])
    await world.close()
  })
}
