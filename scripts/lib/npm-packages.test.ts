// When node_modules counts as complete: npm's record is held against the lock file, for this machine only.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findAbsent } from './npm-packages.js'

const MACHINE = { os: 'linux', cpu: 'x64', libc: 'glibc' }
const lockOf = (packages: object): string =>
  JSON.stringify({ lockfileVersion: 3, packages: { '': { version: '1.0.0' }, ...packages } })
const record = (packages: object): string => JSON.stringify({ packages })

const cases: readonly { name: string; wanted: object; present: object; absent: readonly string[] }[] = [
  {
    name: 'the same version',
    wanted: { 'node_modules/a': { version: '1.0.0' } },
    present: { 'node_modules/a': { version: '1.0.0' } },
    absent: [],
  },
  {
    name: 'another version',
    wanted: { 'node_modules/a': { version: '1.0.1' } },
    present: { 'node_modules/a': { version: '1.0.0' } },
    absent: ['a@1.0.1'],
  },
  {
    name: 'nothing',
    wanted: { 'node_modules/a/node_modules/@s/b': { version: '2.0.0' } },
    present: {},
    absent: ['@s/b@2.0.0'],
  },
  { name: 'more than wanted', wanted: {}, present: { 'node_modules/a': { version: '1.0.0' } }, absent: [] },
  {
    name: 'a native package for this machine',
    wanted: { 'node_modules/n': { version: '1.0.0', optional: true, os: ['linux'], cpu: ['x64'], libc: ['glibc'] } },
    present: {},
    absent: ['n@1.0.0'],
  },
  {
    name: 'one whose constraints are not lists',
    wanted: { 'node_modules/n': { version: '1.0.0', optional: true, os: 'linux', cpu: 'x64' } },
    present: {},
    absent: ['n@1.0.0'],
  },
  ...[
    { os: ['win32'] },
    { os: ['linux'], cpu: ['arm64'] },
    { os: ['linux'], cpu: ['x64'], libc: ['musl'] },
    { cpu: ['wasm32'] },
  ].map(constraints => ({
    name: `a native package for ${JSON.stringify(constraints)}`,
    wanted: { 'node_modules/n': { version: '1.0.0', optional: true, ...constraints } },
    present: {},
    absent: [],
  })),
  {
    name: 'what an optional package needs',
    wanted: { 'node_modules/o': { version: '1.0.0', optional: true } },
    present: {},
    absent: [],
  },
]

for (const { name, wanted, present, absent } of cases) {
  test(`npm packages: ${name}`, () => assert.deepEqual(findAbsent(lockOf(wanted), record(present), MACHINE), absent))
}

test('no record, or one that is cut short, means that everything is absent', () => {
  const lock = lockOf({ 'node_modules/a': { version: '1.0.0' } })
  assert.deepEqual(findAbsent(lock, undefined, MACHINE), ['a@1.0.0'])
  assert.deepEqual(findAbsent(lock, '{"packages": {"node_mod', MACHINE), ['a@1.0.0'])
})
