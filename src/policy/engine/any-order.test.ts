// Whatever the way to a state, what is resolved there is the same, and no change on the
// way goes untold.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { LabelSet } from '../../labels/index.ts'
import type { CidrGroup } from '../model/cidr-group.ts'
import type { Policy, Rule } from '../model/rule.ts'
import { PolicyRepository } from './repository.ts'
import { type Subject, subjectKey } from './subject.ts'
import { app, block, inGroup, labelsOf, pod, policy, port, subject, TCP, tried } from './testing/sketches.ts'

const APPS = ['web', 'db', 'a']
const anyPeers: fc.Arbitrary<Rule['peers']> = fc.oneof(
  fc.constant('any' as const),
  fc.subarray([app('a'), app('db'), block('10.0.0.0/8', ['10.1.0.0/16']), block('::/0'), inGroup('g'), inGroup('h')], {
    maxLength: 4,
  }),
)
const anyPorts: fc.Arbitrary<Rule['ports']> = fc.oneof(
  fc.constant('any' as const),
  fc.subarray(
    [port(80), port(443), { protocol: TCP, ports: { name: 'http' } } as const, { protocol: 17, ports: 'any' } as const],
    { minLength: 1 },
  ),
)
const anySketch = fc.record({
  direction: fc.constantFrom('ingress' as const, 'egress' as const),
  peers: anyPeers,
  ports: anyPorts,
})
const anyPolicy = fc
  .tuple(
    fc.constantFrom('p', 'q', 'r'),
    fc.option(fc.constantFrom(...APPS), { nil: undefined }),
    fc.array(anySketch, { maxLength: 3 }),
    fc.constantFrom(false, false, true),
  )
  .map(([name, selects, sketches, audit]) =>
    audit ? tried(policy(name, selects, ...sketches)) : policy(name, selects, ...sketches),
  )
const anyIdentity = fc.tuple(
  fc.constantFrom(300, 301, 400),
  fc.constantFrom(...APPS),
  fc.subarray(
    [
      'reserved:world',
      'cidr:10.0.0.0/8',
      'cidr:10.1.0.0/16',
      'cidr:::/0',
      'port:http/TCP=80',
      'port:http/TCP=81',
    ].slice(0, 5),
  ),
)
const anySubject = fc
  .tuple(fc.constantFrom(...APPS), fc.constantFrom(80, 81, undefined), fc.constantFrom(false, false, true))
  .map(([name, http, audit]): Subject => {
    const made = subject(name, http === undefined ? [] : [{ name: 'http', protocol: TCP, port: http }])
    return audit ? { ...made, audit } : made
  })
const anyGroup: fc.Arbitrary<CidrGroup> = fc.record({
  name: fc.constantFrom('g', 'h'),
  labels: fc.constant({}),
  cidrs: fc.subarray(['10.0.0.0/8', '::/0']),
  origin: fc.constant({ file: '', line: 0 }),
})

type Step =
  | { readonly kind: 'policy'; readonly policy: Policy; readonly isDeleted: boolean }
  | { readonly kind: 'group'; readonly group: CidrGroup; readonly isDeleted: boolean }
  | { readonly kind: 'identity'; readonly number: number; readonly labels: LabelSet | undefined }
  | { readonly kind: 'subject'; readonly subject: Subject; readonly isForgotten: boolean }

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(anyPolicy, fc.boolean()).map(([policy, isDeleted]): Step => ({ kind: 'policy', policy, isDeleted })),
  fc.tuple(anyGroup, fc.boolean()).map(([group, isDeleted]): Step => ({ kind: 'group', group, isDeleted })),
  fc.tuple(anyIdentity, fc.boolean()).map(
    ([[number, name, more], isDeleted]): Step => ({
      kind: 'identity',
      number,
      labels: isDeleted ? undefined : labelsOf([pod({ app: name }).key, ...more].join(';')),
    }),
  ),
  fc.tuple(anySubject, fc.boolean()).map(([subject, isForgotten]): Step => ({ kind: 'subject', subject, isForgotten })),
)

test('any way to a state: the same as made from nothing, and no change goes untold', () => {
  fc.assert(
    fc.property(
      fc.array(anyStep, { maxLength: 25 }),
      fc.array(anySubject, { minLength: 1, maxLength: 3 }),
      (steps, probes) => {
        const lived = new PolicyRepository()
        const policies = new Map<string, Policy>()
        const identities = new Map<number, LabelSet>()
        const groups = new Map<string, CidrGroup>()
        const known = new Map(probes.map(probe => [probe, lived.resolve(probe).key]))
        for (const step of steps) {
          if (step.kind === 'policy') {
            if (step.isDeleted) lived.deletePolicy(step.policy.ref)
            else lived.setPolicy(step.policy)
            if (step.isDeleted) policies.delete(step.policy.ref.name)
            else policies.set(step.policy.ref.name, step.policy)
          } else if (step.kind === 'group') {
            if (step.isDeleted) lived.deleteCidrGroup(step.group.name)
            else lived.setCidrGroup(step.group)
            if (step.isDeleted) groups.delete(step.group.name)
            else groups.set(step.group.name, step.group)
          } else if (step.kind === 'identity') {
            if (step.labels) lived.setIdentity(step.number, step.labels)
            else lived.deleteIdentity(step.number)
            if (step.labels) identities.set(step.number, step.labels)
            else identities.delete(step.number)
          } else if (step.isForgotten && !probes.some(probe => subjectKey(probe) === subjectKey(step.subject)))
            lived.forget(step.subject)
          else lived.resolve(step.subject)
          // A reader that resolves only what it is told of is never out of date.
          const told = new Set(lived.changes().map(subjectKey))
          for (const [probe, key] of known) {
            const now = lived.resolve(probe).key
            assert.ok(now === key || told.has(subjectKey(probe)), 'a change went untold')
            known.set(probe, now)
          }
        }
        const fresh = new PolicyRepository()
        for (const [number, labels] of [...identities].reverse()) fresh.setIdentity(number, labels)
        for (const policy of [...policies.values()].reverse()) fresh.setPolicy(policy)
        for (const group of groups.values()) fresh.setCidrGroup(group)
        assert.deepEqual(lived.unknownReferences(), fresh.unknownReferences())
        for (const probe of probes) {
          const [a, b] = [lived.resolve(probe), fresh.resolve(probe)]
          assert.deepEqual(a.entries, b.entries)
          assert.deepEqual([a.key, a.isolatedBy], [b.key, b.isolatedBy])
        }
        const references = (repository: PolicyRepository): unknown => {
          const { prefixes, egressNamedPorts, labelKeys } = repository.references()
          return [
            [...prefixes].map(({ prefix, value }) => [prefix.text, value]),
            [...egressNamedPorts].sort(),
            [...labelKeys].sort(),
          ]
        }
        assert.deepEqual(references(lived), references(fresh))
      },
    ),
    { numRuns: 300 },
  )
})
