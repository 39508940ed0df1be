// The picture that `sandbox probe` prints.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatMatrix } from './matrix.ts'

test('one square a port, sources down, destinations across', () => {
  const text = formatMatrix([
    { from: 'x/a', to: 'x/long', port: 80, protocol: 'TCP', verdict: 'allowed' },
    { from: 'x/long', to: 'x/a', port: 80, protocol: 'TCP', verdict: 'denied' },
    { from: 'x/a', to: 'x/long', port: 53, protocol: 'UDP', verdict: 'denied' },
  ])
  assert.equal(
    text,
    [
      '80/TCP from  x/a  x/long',
      'x/a           ·     +',
      'x/long        X     ·',
      '',
      '53/UDP from  x/a  x/long',
      'x/a           ·     X',
      'x/long        ·     ·',
      '',
      '3 connections: 1 allowed (+), 2 denied (X)',
      '',
    ].join('\n'),
  )
})

test('nothing to show is said', () => {
  assert.match(formatMatrix([]), /nothing to probe/)
})
