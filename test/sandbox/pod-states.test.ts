// What runs depends on what is wanted now, never on what was wanted before: from every named state to every other, with
// and without time to get there, the same pods run.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { after, before, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { down, up } from '../../src/sandbox/index.ts'
import { describeSandbox, NEEDS_ROOT, POD_TIMEOUT_MS, podManifest } from './support.ts'

const sandbox = describeSandbox('test-states')

const pod = (key: string, version: string, labels = {}) => {
  const containers = [{ name: 'c', image: 'agnhost', env: [{ name: 'VERSION', value: version }] }]
  return podManifest(key, { labels, spec: { containers } })
}

/** Each pod's version, by its key. */
type Running = Readonly<Record<string, string>>

const STATES: Readonly<Record<string, { readonly objects: readonly object[]; readonly want: Running }>> = {
  nothing: { objects: [], want: {} },
  'one pod': { objects: [pod('x/a', '1')], want: { 'x/a': '1' } },
  'the same, labelled': { objects: [pod('x/a', '1', { role: 'db' })], want: { 'x/a': '1' } },
  'the same, with another spec': { objects: [pod('x/a', '2')], want: { 'x/a': '2' } },
  'two pods': { objects: [pod('x/a', '1'), pod('y/a', '1')], want: { 'x/a': '1', 'y/a': '1' } },
  'only the other': { objects: [pod('y/a', '1')], want: { 'y/a': '1' } },
}

function apply(state: string): void {
  const { objects = [] } = STATES[state] ?? {}
  if (objects.length > 0) sandbox.apply('pods', ...objects)
  else fs.rmSync(`${sandbox.paths.objects}/pods.yaml`, { force: true })
}

async function running(): Promise<Running> {
  const { pods } = await sandbox.client.status()
  const versions = pods.map(async ({ namespace, name, phase, ready }) => {
    const key = `${namespace}/${name}`
    if (!ready || phase !== 'Running') return [key, phase]
    try {
      const { containers } = await sandbox.client.pod(namespace, name)
      return [key, containers[0]?.environment['VERSION'] ?? '']
    } catch {
      return [key, 'just ended']
    }
  })
  return Object.fromEntries((await Promise.all(versions)) as [string, string][])
}

async function untilRuns(state: string): Promise<void> {
  const { want = {} } = STATES[state] ?? {}
  const deadline = performance.now() + POD_TIMEOUT_MS
  for (;;) {
    const now = await running()
    try {
      assert.deepEqual(now, want)
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
    await sleep(20)
  }
}

suite('any state of pods to any other', { skip: NEEDS_ROOT }, () => {
  before(async () => void (await up(sandbox.configuration)))
  after(() => down(sandbox.name))

  for (const first of Object.keys(STATES)) {
    test(`from: ${first}`, async () => {
      for (const second of Object.keys(STATES)) {
        apply(first)
        await untilRuns(first)
        apply(second)
        await untilRuns(second)
      }
    })
  }

  test('through all of them without a pause', async () => {
    for (const last of Object.keys(STATES)) {
      for (const state of Object.keys(STATES)) apply(state)
      apply(last)
      await untilRuns(last)
    }
  })
})
