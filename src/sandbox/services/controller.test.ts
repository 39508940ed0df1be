// What is written for agents as Services come, change, are refused and go.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ManifestObject, parseManifests } from '../../manifests/index.ts'
import { ADMITTED_ANNOTATION } from '../../sources/index.ts'
import type { ClusterObject } from './cluster-folder.ts'
import { ServiceController, versionOf } from './controller.ts'
import { SERVICE_RANGES } from './ranges.ts'
import type { BackendPod } from './slices.ts'

type Written = ClusterObject['content'] & {
  readonly spec?: { readonly clusterIP?: string }
  readonly endpoints?: readonly unknown[]
}

/** A controller, and the folder that it writes. */
function world() {
  const folder = new Map<string, Written>()
  const log: string[] = []
  let second = 0
  const controller = new ServiceController({
    folder: {
      put: ({ content }) => {
        const name = `${content.kind} ${content.metadata.name}`
        if (JSON.stringify(folder.get(name)) !== JSON.stringify(content)) log.push(`+ ${content.kind}`)
        folder.set(name, content)
      },
      delete: ({ kind, metadata }) => {
        log.push(`- ${kind}`)
        folder.delete(`${kind} ${metadata.name}`)
      },
    },
    ranges: SERVICE_RANGES,
    now: () => new Date(Date.UTC(2026, 0, 1, 0, 0, second++)),
  })
  const put = (...objects: ManifestObject[]) => controller.apply({ put: objects, deleted: [] })
  const remove = (...objects: ManifestObject[]) => controller.apply({ put: [], deleted: objects })
  return { controller, folder, log, put, remove }
}

function service(name: string, spec: object = {}): ManifestObject {
  const content = { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } }
  const [object] = parseManifests(JSON.stringify(content), 'service.json').objects
  assert.ok(object)
  return object
}

const pod = (name: string): BackendPod => ({
  namespace: 'default',
  name,
  labels: { app: 'web' },
  node: 'node1',
  addresses: ['10.244.0.5'],
  namedPorts: [],
  ready: true,
  terminating: false,
  over: false,
})

const selecting = { selector: { app: 'web' } }

test('a service, its change and its end', () => {
  const { controller, folder, log, put, remove } = world()
  const [first, second] = [service('web', selecting), service('web', { ...selecting, sessionAffinity: 'ClientIP' })]
  put(first)
  const admitted = folder.get('Service web')
  assert.equal(
    (admitted?.metadata['annotations'] as Record<string, string> | undefined)?.[ADMITTED_ANNOTATION],
    versionOf(first),
  )
  assert.deepEqual(log.splice(0), ['+ Service', '+ EndpointSlice'])
  controller.setPods([pod('a')])
  controller.setPods([pod('a')])
  assert.deepEqual(log.splice(0), ['+ EndpointSlice', '- EndpointSlice'], 'the empty one goes when there is another')
  put(second)
  const changed = folder.get('Service web')
  assert.deepEqual(changed?.metadata['creationTimestamp'], admitted?.metadata['creationTimestamp'])
  assert.equal(changed?.spec?.clusterIP, admitted?.spec?.clusterIP)
  assert.deepEqual(log.splice(0), ['+ Service'])
  remove(second)
  assert.deepEqual([log, folder.size], [['- Service', '- EndpointSlice'], 0])
})

test('a refused change leaves the last version in force, and is tried again when something is free', t => {
  const write = t.mock.method(process.stderr, 'write', () => true)
  const { controller, folder, put, remove } = world()
  const owner = service('owner', { clusterIP: '10.96.0.10' })
  put(service('second', { clusterIP: '10.96.0.10' }), owner)
  assert.ok(write.mock.callCount() > 0)
  // Neither has a right to be first; one of them is.
  const refused = controller.status().filter(({ message }) => message !== undefined)
  assert.deepEqual(
    refused.map(({ name }) => name),
    ['owner'],
  )
  assert.match(
    refused[0]?.message ?? '',
    /^spec\.clusterIP: 10\.96\.0\.10 is the cluster IP of Service default\/second/,
  )
  assert.equal(folder.has('Service owner'), false)
  remove(service('second'))
  assert.equal(folder.get('Service owner')?.spec?.clusterIP, '10.96.0.10')
  assert.equal(controller.status()[0]?.message, undefined)
})

test('who asks for an address gets it before who takes what is left', () => {
  const { put, folder } = world()
  put(service('any'))
  const wanted = folder.get('Service any')?.spec?.clusterIP
  const { put: putBoth, folder: both } = world()
  putBoth(service('any'), service('asks', { clusterIP: wanted }))
  assert.equal(both.get('Service asks')?.spec?.clusterIP, wanted)
  assert.notEqual(both.get('Service any')?.spec?.clusterIP, wanted)
})
