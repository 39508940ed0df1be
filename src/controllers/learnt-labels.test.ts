// Labels of addresses by their names, which label sets are ready before, and that the
// agent and the DNS server mean the same names by a selector.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { allMatches, indexNames } from '../dns/index.ts'
import { labelTexts } from '../labels/index.ts'
import { NameSelectors, ReferenceCounts, readPolicy } from '../policy/index.ts'
import { manifestObject } from '../policy/testing/manifest-object.ts'
import { LearntLabels } from './learnt-labels.ts'

function referencesTo(...egress: readonly object[]): ReferenceCounts {
  const references = new ReferenceCounts()
  const metadata = { name: 'names', namespace: 'shop' }
  const spec = { endpointSelector: {}, egress }
  const read = readPolicy(manifestObject({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata, spec }))
  assert.ok(read?.value)
  references.add(read.value)
  return references
}

const NAMES = { toFQDNs: [{ matchName: 'a.example' }, { matchPattern: '*.example' }] }

test('an address has a label for each selector that means one of its names, and the prefixes around it', () => {
  const references = referencesTo(NAMES, { toCIDR: ['192.0.2.0/24'] })
  const labels = new LearntLabels()
  const of = (address: string, ...names: string[]) => {
    const found = labels.of(address, names, references)
    return found && labelTexts(found).join(' ')
  }
  const world = 'reserved:world reserved:world-ipv4'
  assert.equal(of('192.0.2.1', 'a.example'), `cidr:192.0.2.0/24 fqdn:*.example fqdn:a.example ${world}`)
  assert.equal(of('198.51.100.1', 'b.example', 'c.example'), `fqdn:*.example ${world}`)
  assert.equal(of('198.51.100.1', 'c.example.org'), undefined)
  assert.equal(
    labels.of('198.51.100.1', ['b.example'], references),
    labels.of('198.51.100.2', ['c.example'], references),
  )
})

test('the label sets of single names and patterns are ready, of both families', () => {
  const references = referencesTo(NAMES, { toCIDR: ['0.0.0.0/0'] })
  const labels = new LearntLabels()
  const usual = labels.usual(references).map(set => labelTexts(set).join(' '))
  assert.deepEqual(usual.sort(), [
    'cidr:0.0.0.0/0 fqdn:*.example fqdn:a.example reserved:world reserved:world-ipv4',
    'cidr:0.0.0.0/0 fqdn:*.example reserved:world reserved:world-ipv4',
    'fqdn:*.example fqdn:a.example reserved:world reserved:world-ipv6',
    'fqdn:*.example reserved:world reserved:world-ipv6',
  ])
  const answered = labels.of('198.51.100.1', ['a.example'], references)
  assert.ok(answered && usual.includes(labelTexts(answered).join(' ')))
})

test('other policies are other labels', () => {
  const references = referencesTo(NAMES)
  const labels = new LearntLabels()
  assert.ok(labels.of('192.0.2.1', ['a.example'], references))
  const other = referencesTo({ toFQDNs: [{ matchName: 'b.example' }] })
  other.revision = references.revision + 1
  assert.equal(labels.of('192.0.2.1', ['a.example'], other), undefined)
})

test('the DNS server means the same names', () => {
  const label = fc.constantFrom('a', 'b', 'ab', 'x-1', '_s')
  const pattern = fc.constantFrom('a', 'b', '*', 'a*', '*b', '*a*', '**', 'a*b')
  const joined = (part: fc.Arbitrary<string>) =>
    fc.array(part, { minLength: 1, maxLength: 4 }).map(parts => parts.join('.'))
  const selector = fc.oneof(
    joined(pattern),
    joined(label),
    joined(label).map(text => `**.${text}`),
  )
  fc.assert(
    fc.property(fc.uniqueArray(selector, { minLength: 1, maxLength: 6 }), joined(label), (selectors, name) => {
      const index = indexNames(selectors.map(text => ({ pattern: text })))
      const byServer = allMatches(index, `${name}.`).map(i => selectors[i] ?? '')
      assert.deepEqual(new NameSelectors(selectors).selecting(name).sort(), byServer.sort())
    }),
    { numRuns: 3000 },
  )
})
