// The enforcement mode of an agent: whom policies isolate where none says so, and that
// status and flows tell it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EnforcementMode } from '../../src/policy/index.ts'
import { defaultConfiguration } from '../../src/sandbox/index.ts'
import { podManifest } from '../sandbox/support.ts'
import { outputOf } from './command-line.ts'
import { FlowLog, isDropped } from './flows.ts'
import { denyAll, networkPolicy } from './policies.ts'
import { NEEDS_ROOT, startCluster } from './support.ts'

const start = async (t: Parameters<typeof startCluster>[0], mode: EnforcementMode) => {
  const name = `e2e-${mode}`
  const { agentCommand } = defaultConfiguration(name)
  const cluster = await startCluster(t, name, { agentCommand: [...agentCommand, '--policy-enforcement', mode] })
  await cluster.enforce('pods', podManifest('shop/a'), podManifest('shop/b'))
  await cluster.untilReady('shop/a', 'shop/b')
  assert.match(await outputOf('status', '--sandbox', name), new RegExp(`^policies +enforcement ${mode}$`, 'm'))
  const verdicts = async () => [...new Set((await cluster.probe('80/TCP')).map(({ verdict }) => verdict))]
  return { cluster, verdicts }
}

test('always: every pod is isolated, and opened by rules alone', { skip: NEEDS_ROOT }, async t => {
  const { cluster, verdicts } = await start(t, 'always')
  const flows = await FlowLog.follow(t, cluster)
  const sinceMs = Date.now()
  assert.deepEqual(await verdicts(), ['denied'])
  const { dropReason, direction, isolatedBy } = await flows.next('a drop', isDropped, sinceMs)
  assert.deepEqual([dropReason, direction, isolatedBy], ['POLICY_DENIED', 'egress', ['the enforcement mode always']])
  await cluster.enforce('policy', networkPolicy('shop/open', { podSelector: {}, ingress: [{}], egress: [{}] }))
  assert.deepEqual(await verdicts(), ['allowed'])
})

test('never: nobody is isolated, whatever policies say', { skip: NEEDS_ROOT }, async t => {
  const { cluster, verdicts } = await start(t, 'never')
  await cluster.enforce('policy', denyAll('shop'))
  assert.deepEqual(await verdicts(), ['allowed'])
})
