// The author's text with what was allocated.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mergedText } from './merged-text.ts'

test('fields are added where they belong; comments, order and quotes stay', () => {
  const text = `# mine
kind: Service
spec:
  type: "NodePort" # open
  ports:
    - port: 80
    - { port: 81 }
`
  const content = {
    kind: 'Service',
    spec: {
      type: 'NodePort',
      ports: [
        { port: 80, nodePort: 30000 },
        { port: 81, nodePort: 30001 },
      ],
      clusterIPs: ['10.0.0.1'],
    },
  }
  assert.equal(
    mergedText(text, content),
    `# mine
kind: Service
spec:
  type: "NodePort" # open
  ports:
    - port: 80
      nodePort: 30000
    - { port: 81, nodePort: 30001 }
  clusterIPs:
    - 10.0.0.1
`,
  )
})

test('an alias is shown as what it stands for', () => {
  const content = { a: { k: 1 }, b: { k: 1 }, c: 2 }
  assert.equal(mergedText('a: &x { k: 1 }\nb: *x\n', content), 'a: &x { k: 1 }\nb:\n  k: 1\nc: 2\n')
})
