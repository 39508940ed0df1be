// Reading logs: the last lines, across a rotation, and following one.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { BoundedLog, LOG_LIMIT_BYTES, lastLines } from './bounded-log.ts'
import { printLog } from './logs.ts'

function logFile(context: TestContext): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-log-'))
  context.after(() => fs.rmSync(folder, { recursive: true }))
  return path.join(folder, 'c.log')
}

/** Collects what is written, and tells when it ends with the given text. */
class Sink extends Writable {
  text = ''
  readonly #waiting: { end: string; resolve: () => void }[] = []

  override _write(chunk: Buffer, _: unknown, done: () => void): void {
    this.text += chunk.toString()
    for (const { end, resolve } of this.#waiting) if (this.text.endsWith(end)) resolve()
    done()
  }

  until(end: string): Promise<void> {
    if (this.text.endsWith(end)) return Promise.resolve()
    return new Promise(resolve => this.#waiting.push({ end, resolve }))
  }
}

async function read(file: string, lines?: number): Promise<string> {
  const sink = new Sink()
  await printLog(file, sink, { lines })
  return sink.text
}

test('the older file comes first, and the last lines span both', async context => {
  const file = logFile(context)
  fs.writeFileSync(`${file}.1`, 'one\ntwo\n')
  fs.writeFileSync(file, 'three\nfour\n')
  assert.equal(await read(file), 'one\ntwo\nthree\nfour\n')
  assert.equal(await read(file, 3), 'two\nthree\nfour\n')
  assert.equal(await read(file, 1), 'four\n')
  assert.equal(await read(file, 0), '')
  assert.equal(await read(file, 99), 'one\ntwo\nthree\nfour\n')
  fs.appendFileSync(file, 'unfinished')
  assert.equal(await read(file, 2), 'four\nunfinished')
})

test('no log is an error', async context => {
  await assert.rejects(read(logFile(context)), { code: 'ENOENT' })
})

test('following begins before there is a log and goes on across a rotation', async context => {
  const file = logFile(context)
  const sink = new Sink()
  const stop = new AbortController()
  const followed = printLog(file, sink, { follow: stop.signal })
  fs.writeFileSync(file, 'one\n')
  await sink.until('one\n')
  fs.appendFileSync(file, 'two\n')
  fs.renameSync(file, `${file}.1`)
  fs.writeFileSync(file, 'three\n')
  await sink.until('three\n')
  stop.abort()
  await followed
  assert.equal(sink.text, 'one\ntwo\nthree\n')
})

test('a bounded log keeps at most one older file', context => {
  const file = logFile(context)
  {
    using log = new BoundedLog(file)
    const line = `${'x'.repeat(1023)}\n`
    for (let written = 0; written <= 3 * LOG_LIMIT_BYTES; written += line.length) log.write(line)
    log.write('last\n')
  }
  assert.deepEqual(fs.readdirSync(path.dirname(file)).sort(), ['c.log', 'c.log.1'])
  for (const name of [file, `${file}.1`]) assert.ok(fs.statSync(name).size <= LOG_LIMIT_BYTES)
  assert.equal(lastLines(file, 1), 'last')
  assert.equal(lastLines(`${file}.2`, 1), '')
})
