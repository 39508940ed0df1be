// The status of policies, as a user asks for it: enforced at a revision that the kernel
// has, refused with the place while the old version stays, and gone when deleted.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { PolicyStatus } from '../../src/tables/index.ts'
import { podManifest } from '../sandbox/support.ts'
import { axoneme } from './command-line.ts'
import { networkPolicy } from './policies.ts'
import { NEEDS_ROOT, startCluster, until } from './support.ts'

const NAME = 'e2e-policy-status'

const ofWeb = (port: number) =>
  networkPolicy('default/web', {
    podSelector: { matchLabels: { app: 'web' } },
    ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }], ports: [{ port }] }],
  })

/** Valid, but for a field that nothing enforces yet. */
const UNENFORCED = {
  apiVersion: 'policy.networking.k8s.io/v1alpha2',
  kind: 'ClusterNetworkPolicy',
  metadata: { name: 'guard' },
  spec: {
    tier: 'Admin',
    priority: 10,
    subject: { namespaces: { matchLabels: { 'kubernetes.io/metadata.name': 'nowhere' } } },
    egress: [{ action: 'Accept', to: [{ nodes: { matchLabels: { disk: 'fast' } } }] }],
  },
}

test('policy status', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, NAME)
  const status = async (name: string): Promise<PolicyStatus | undefined> => {
    const all: PolicyStatus[] = JSON.parse((await axoneme(['policy', 'get', '-o', 'json', '--sandbox', NAME])).stdout)
    return all.find(one => one.name === name)
  }
  const untilState = async (name: string, state: PolicyStatus['state']): Promise<PolicyStatus> => {
    let found: PolicyStatus | undefined
    await until(`${name} to be ${state}`, async () => {
      found = await status(name)
      return found?.state === state
    })
    return found as PolicyStatus
  }

  await cluster.enforce(
    'pods',
    podManifest('default/client', { labels: { app: 'client' } }),
    podManifest('default/web', { labels: { app: 'web' }, ports: [{ containerPort: 8080 }] }),
  )
  await cluster.untilReady('default/client', 'default/web')
  const startedAt = new Date().toISOString()

  await t.test('an applied policy: enforced at the revision that the maps have, on its pods', async () => {
    const before = (await cluster.agent.status()).revision
    await cluster.enforce('web', ofWeb(8080))
    const { enforced, ...rest } = await untilState('web', 'enforced')
    const after = (await cluster.agent.status()).revision
    assert.ok(enforced && enforced.revision > before && enforced.revision <= after, JSON.stringify(enforced))
    assert.ok(enforced.since > startedAt && enforced.since <= new Date().toISOString(), enforced.since)
    assert.deepEqual(rest, {
      kind: 'NetworkPolicy',
      namespace: 'default',
      name: 'web',
      origin: { file: path.join(cluster.paths.objects, 'web.yaml'), line: 1 },
      valid: true,
      state: 'enforced',
      message: 'enforced',
      problems: [],
      audit: false,
      endpoints: ['default/web'],
      auditedEndpoints: [],
      entries: 1,
      unenforced: [],
    })
  })

  await t.test('a version that is not valid: refused with its place, and the old one stays', async () => {
    const good = await status('web')
    const bad = path.join(cluster.paths.objects, '.web.new')
    fs.writeFileSync(bad, JSON.stringify(ofWeb(70_000)))
    fs.renameSync(bad, path.join(cluster.paths.objects, 'web.yaml'))
    const { message, problems, enforced, entries } = await untilState('web', 'outdated')
    assert.deepEqual([enforced, entries], [good?.enforced, 1])
    assert.match(
      message,
      new RegExp(`^refused; the version of ${enforced?.since} \\(.*web\\.yaml:1\\) stays in force$`),
    )
    assert.deepEqual(
      problems.map(({ severity, line }) => [severity, line]),
      [['error', 1]],
    )
    assert.match(problems[0]?.message ?? '', /^spec\.ingress\[0\]\.ports\[0\]\.port: /)
    const detail = await axoneme(['policy', 'get', 'default/web', '--sandbox', NAME])
    assert.match(detail.stdout, /^status +outdated: refused; /m)
    assert.match(detail.stdout, /^problems +\S+web\.yaml:1:\d+: error: spec\.ingress/m)
    const table = await axoneme(['policy', 'get', '--sandbox', NAME])
    assert.match(table.stdout, /^NetworkPolicy +default +web +outdated, 1 error +1 +1 +\d+ +\S+Z +\S+web\.yaml:1$/m)
    assert.match((await axoneme(['tables', 'policy-status', '--sandbox', NAME])).stdout, /outdated, 1 error/)
  })

  await t.test('a field that is not enforced yet: named with its reason', async () => {
    await cluster.enforce('guard', UNENFORCED)
    const { unenforced, problems } = await untilState('guard', 'enforced')
    const reason = 'labels of nodes are not known yet'
    assert.deepEqual(unenforced, [{ path: 'spec.egress[0].to[0].nodes', reason }])
    assert.match(problems[0]?.message ?? '', new RegExp(reason))
    const detail = await axoneme(['policy', 'get', 'ClusterNetworkPolicy/guard', '--sandbox', NAME])
    assert.match(detail.stdout, new RegExp(`^not yet +spec\\.egress.*nodes: ${reason}$`, 'm'))
    cluster.remove('guard')
  })

  await t.test('a deleted policy is gone, and so is what is not there', async () => {
    cluster.remove('web')
    await until('both policies to be gone', async () => !(await status('web')) && !(await status('guard')))
    const { code, stderr } = await axoneme(['policy', 'get', 'web', '--sandbox', NAME])
    assert.equal(code, 1)
    assert.match(stderr, /^axoneme: there is no policy web; `axoneme policy get` lists those that there are$/m)
  })
})
