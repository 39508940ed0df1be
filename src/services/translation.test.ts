// The annotation that says where a pod's services are translated.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifests } from '../manifests/index.ts'
import { readTranslation } from './index.ts'

const read = (annotations: string) => {
  const text = `{apiVersion: v1, kind: Pod, metadata: {name: web, annotations: {${annotations}}}}`
  const [object] = parseManifests(text, 'pod.yaml').objects
  return readTranslation(object ?? assert.fail('no object'))
}

test('a pod may say one of two, or nothing', () => {
  assert.deepEqual(read(''), { value: {}, problems: [] })
  for (const translation of ['socket', 'packet'])
    assert.deepEqual(read(`service.axoneme.io/translation: ${translation}`), { value: { translation }, problems: [] })
})

test('anything else is an error at the annotation, and counts as nothing', () => {
  const { value, problems } = read('service.axoneme.io/translation: Packet')
  assert.deepEqual(value, {})
  const [{ path, message } = {}, ...more] = problems
  assert.match(path ?? '', /^metadata\.annotations.*service\.axoneme\.io\/translation/)
  assert.equal(message, 'must be "socket" or "packet", not "Packet"')
  assert.deepEqual(more, [])
})
