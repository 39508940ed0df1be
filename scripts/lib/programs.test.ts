// Running other programs, showing progress, and the lock: the plumbing of set-up.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { withLock } from './lock.js'
import { cleanSearchPath, findProgram, run } from './programs.js'
import { createProgress } from './progress.js'

test('the search path of children', () => {
  assert.equal(cleanSearchPath('/a:/x/node_modules/.bin::/a:/sbin'), '/a:/sbin:/usr/local/sbin:/usr/sbin')
  assert.equal(cleanSearchPath(undefined), '/usr/local/sbin:/usr/sbin:/sbin')
})

test('a program is a file that may be executed', () => {
  assert.equal(findProgram('sh', '/nowhere:/bin'), '/bin/sh')
  assert.equal(findProgram('passwd', '/etc'), undefined)
  assert.equal(findProgram('bin', '/usr'), undefined)
})

test('a program’s status and output are told, and it has no input', async () => {
  const lines: string[] = []
  const result = await run('sh', ['-c', 'read x || echo end; echo error >&2; exit 3'], {
    onLine: line => lines.push(line),
  })
  assert.equal(result.code, 3)
  assert.deepEqual(result.output.trim().split('\n').toSorted(), ['end', 'error'])
  assert.ok(lines.length > 0)
})

test('a program that is not there, and one that a signal ends', async () => {
  assert.equal((await run('/nowhere/program', [])).code, 127)
  assert.equal((await run('sh', ['-c', 'kill -9 $$'])).code, 128)
})

test('the output that is kept is bounded', async () => {
  const { output } = await run('sh', ['-c', 'head -c 1000000 /dev/zero | tr "\\0" x; echo end'])
  assert.ok(output.length < 300_000, String(output.length))
  assert.match(output, /xend\n$/)
})

function recorder(isTTY: boolean) {
  let text = ''
  const stream = {
    isTTY,
    columns: 40,
    write: (chunk: string | Uint8Array) => {
      text += String(chunk)
      return true
    },
  }
  return { progress: createProgress(stream), read: () => text }
}

test('progress in a file is plain lines', async () => {
  const { progress, read } = recorder(false)
  assert.equal(await progress.step('one', async () => 1), 1)
  await assert.rejects(
    progress.step('two', () => Promise.reject(new Error('no'))),
    /no/,
  )
  assert.match(read(), /^· one …\n✓ one {2}\d+\.\d s\n· two …\n✗ two {2}\d+\.\d s\n$/)
})

test('progress on a terminal is one line that is written over', async () => {
  const { progress, read } = recorder(true)
  await progress.step('one', async note => note('\x1b[31mred\x1b[0m\tnote'))
  assert.match(read(), /✓ one {2}\d+\.\d s\n$/)
  assert.equal(read().split('\n').length, 2)
})

test('two never hold the lock at once, and the second is told that it waits', async context => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'axoneme-lock-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const file = path.join(folder, 'deep/lock')
  const events: string[] = []
  let release = (): void => {}
  const released = new Promise<void>(resolve => {
    release = resolve
  })
  const first = withLock(
    file,
    () => events.push('first waits'),
    async () => {
      events.push('first in')
      await released
      events.push('first out')
    },
  )
  const second = withLock(
    file,
    () => {
      events.push('second waits')
      release()
    },
    async () => void events.push('second in'),
  )
  await Promise.all([first, second])
  assert.deepEqual(events, ['first in', 'second waits', 'first out', 'second in'])
})

test('a lock is let go when the work fails', async context => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'axoneme-lock-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const file = path.join(folder, 'lock')
  await assert.rejects(
    withLock(file, assert.fail, () => Promise.reject(new Error('broken'))),
    /broken/,
  )
  assert.equal(await withLock(file, assert.fail, async () => 'again'), 'again')
})
