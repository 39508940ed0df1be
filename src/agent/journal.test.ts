// The journal over the ends of agents, however they came.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { Journal } from './journal.ts'

function journalFile(t: TestContext): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-journal-'))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  return path.join(folder, 'state', 'agent.journal')
}

const facts = (file: string, kind: string): Record<string, unknown> => {
  const journal = new Journal(file)
  journal.close()
  return Object.fromEntries(journal.entries(kind))
}

test('the newest fact holds, and what was taken back is gone', t => {
  const file = journalFile(t)
  const journal = new Journal(file)
  journal.set('rule', 'a', 16)
  journal.set('rule', 'b', 17)
  journal.set('identity', '256', 'k8s:app=web')
  journal.set('rule', 'a', 18)
  journal.delete('rule', 'b')
  journal.close()
  assert.deepEqual(facts(file, 'rule'), { a: 18 })
  assert.deepEqual(facts(file, 'identity'), { 256: 'k8s:app=web' })
})

test('many changes of few facts do not make the file grow without end, and none is lost', t => {
  const file = journalFile(t)
  const journal = new Journal(file)
  for (let i = 0; i < 50_000; i++) journal.set('rule', `rule${i % 3}`, i)
  journal.close()
  assert.ok(fs.readFileSync(file, 'utf8').split('\n').length < 25_000)
  assert.deepEqual(facts(file, 'rule'), { rule0: 49_998, rule1: 49_999, rule2: 49_997 })
})

test('an end in the middle of a record costs that record alone', t => {
  const file = journalFile(t)
  const journal = new Journal(file)
  journal.set('rule', 'a', 16)
  journal.close()
  fs.appendFileSync(file, '{"kind":"rule","key":"b","va')
  assert.deepEqual(facts(file, 'rule'), { a: 16 })
})

test('a record that a full disk cut short is not there, and the next one is', t => {
  const file = journalFile(t)
  const journal = new Journal(file)
  journal.set('rule', 'a', 16)
  const full = t.mock.method(fs, 'writeFileSync', (fd: number, text: string) => {
    fs.writeSync(fd, text.slice(0, 12))
    throw new Error('ENOSPC')
  })
  assert.throws(() => journal.set('rule', 'b', 17))
  full.mock.restore()
  assert.equal(journal.entries('rule').get('b'), undefined)
  journal.set('rule', 'c', 18)
  journal.close()
  assert.deepEqual(facts(file, 'rule'), { a: 16, c: 18 })
})

test('lines that are no records are passed over', t => {
  const file = journalFile(t)
  new Journal(file).close()
  const lines = [
    'null',
    '7',
    '[]',
    '{}',
    '{"kind":"rule","key":7,"value":1}',
    '{"kind":"rule","key":"x"}',
    '',
    'no JSON',
  ]
  fs.writeFileSync(file, [...lines, '{"kind":"rule","key":"a","value":16}', ''].join('\n'))
  assert.deepEqual(facts(file, 'rule'), { a: 16 })
})

test('facts come in the order in which their keys first came, also after a restart', t => {
  const file = journalFile(t)
  const journal = new Journal(file)
  for (const key of ['c', 'a', 'b']) journal.set('rule', key, 1)
  journal.set('rule', 'c', 2)
  journal.close()
  assert.deepEqual(Object.keys(facts(file, 'rule')), ['c', 'a', 'b'])
})

test('taking back what is not there writes nothing', t => {
  const file = journalFile(t)
  const journal = new Journal(file)
  journal.delete('rule', 'a')
  journal.close()
  assert.equal(fs.readFileSync(file, 'utf8'), '')
})

test('an agent that cannot read its journal does not begin with an empty one', t => {
  const file = journalFile(t)
  fs.mkdirSync(file, { recursive: true })
  assert.throws(() => new Journal(file), {
    code: 'JOURNAL_UNREADABLE',
    message: /agent\.journal cannot be read \(EISDIR/,
  })
})

test('only its owner may read it', t => {
  const file = journalFile(t)
  new Journal(file).close()
  assert.equal(fs.statSync(file).mode & 0o777, 0o600)
})
