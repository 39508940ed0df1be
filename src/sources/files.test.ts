// The folder source: the contract of all sources for three ways of saving a file, and
// what only files do. Notifications are the kernel's, time is the test's.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn, setTimeout as sleep } from 'node:timers/promises'
import { ManualClock } from '../state/index.ts'
import { pod, RecordingSink, type SourceWorld, sourceContract, until } from './contract.ts'
import { FileSource, type FileSourceOptions } from './files.ts'

function temporaryFolder(): string {
  return fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-files-'))
}

/** The three ways in which programs save a file. */
const SAVES: Readonly<Record<string, (file: string, text: string) => void>> = {
  'truncate and write': (file, text) => fs.writeFileSync(file, text),
  'write aside and rename': (file, text) => {
    fs.writeFileSync(`${file}.tmp`, text)
    fs.renameSync(`${file}.tmp`, file)
  },
  'move away and write anew': (file, text) => {
    if (fs.existsSync(file)) fs.renameSync(file, `${file}~`)
    fs.writeFileSync(file, text)
    fs.rmSync(`${file}~`, { force: true })
  },
}

for (const [how, save] of Object.entries(SAVES)) {
  sourceContract(`folder, saved by ${how}`, (): SourceWorld => {
    const folder = temporaryFolder()
    return {
      source: new FileSource([folder]),
      declare(texts) {
        for (const file of fs.readdirSync(folder))
          if (!(path.basename(file, '.yaml') in texts)) fs.rmSync(path.join(folder, file))
        for (const [name, text] of Object.entries(texts)) save(path.join(folder, `${name}.yaml`), text)
      },
      tick: () => sleep(1),
      close: () => fs.rmSync(folder, { recursive: true }),
    }
  })
}

type Bench = {
  readonly folder: string
  readonly sink: RecordingSink
  readonly clock: ManualClock
  readonly write: (name: string, text: string) => void
  /** Waits for the kernel's notifications, then lets time pass until the condition holds. */
  readonly until: (what: string, condition: () => boolean) => Promise<void>
  /** Waits until the kernel's notifications have made the source set a timer that is due this soon. */
  readonly noticed: () => Promise<void>
}

/** A source over a folder of its own, whose time the test moves. */
async function withFiles(
  first: Readonly<Record<string, string>>,
  body: (bench: Bench) => Promise<void>,
  {
    paths = ['.'],
    clock = new ManualClock(),
    ...options
  }: Omit<FileSourceOptions, 'clock'> & { paths?: readonly string[]; clock?: ManualClock } = {},
): Promise<void> {
  const folder = temporaryFolder()
  const sink = new RecordingSink()
  const stop = new AbortController()
  const write = (name: string, text: string) => {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
    fs.writeFileSync(path.join(folder, name), text)
  }
  for (const [name, text] of Object.entries(first)) write(name, text)
  const source = new FileSource(
    paths.map(root => path.join(folder, root)),
    { clock, rescanMs: 1e12, ...options },
  )
  const done = source.run(sink, stop.signal)
  const bench: Bench = {
    folder,
    sink,
    clock,
    write,
    until: (what, condition) => until({ tick: () => clock.advance(1).then(() => sleep(0)) }, what, condition),
    noticed: () =>
      until({ tick: () => eventLoopTurn() }, 'noticed', () => (clock.nextMs ?? Infinity) - clock.nowMs() < 1000),
  }
  try {
    await body(bench)
  } finally {
    stop.abort()
    await done
    fs.rmSync(folder, { recursive: true, force: true })
  }
  assert.equal(clock.timers, 0, 'no timer is left')
}

test("folders are read with their sub-folders; other files, hidden ones and editors' are not", async () => {
  const files = {
    'a.yaml': pod('a', '1'),
    'deep/er/b.yml': pod('b', '1'),
    'c.json': JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'c', labels: { v: '1' } } }),
    'd.txt': pod('d', '1'),
    '.e.yaml': pod('e', '1'),
    'f.yaml~': pod('f', '1'),
    '.hidden/g.yaml': pod('g', '1'),
  }
  await withFiles(files, async ({ sink, until }) => {
    await until('initialised', () => sink.isInitialized)
    assert.deepEqual(Object.keys(sink.state()).sort(), ['Pod/default/a', 'Pod/default/b', 'Pod/default/c'])
    assert.deepEqual(sink.problems, [])
  })
})

test('new sub-folders, however deep, folders that go and folders that move are followed', async () => {
  await withFiles({ 'x/a.yaml': pod('a', '1') }, async ({ folder, sink, write, until }) => {
    await until('initialised', () => sink.isInitialized)
    write('new/deep/deeper/b.yaml', pod('b', '1'))
    await until('b', () => sink.objects.has('Pod/default/b'))
    write('new/deep/c.yaml', pod('c', '1'))
    await until('c', () => sink.objects.has('Pod/default/c'))
    fs.renameSync(path.join(folder, 'new'), path.join(folder, 'moved'))
    write('moved/deep/c.yaml', pod('c', '2'))
    await until('c from its new place', () => sink.state()['Pod/default/c'] === '2')
    assert.equal(sink.state()['Pod/default/b'], '1')
    fs.rmSync(path.join(folder, 'moved'), { recursive: true })
    await until('b and c gone', () => sink.objects.size === 1)
    fs.renameSync(path.join(folder, 'x'), path.join(folder, 'y'))
    fs.mkdirSync(path.join(folder, 'x'))
    write('x/d.yaml', pod('d', '1'))
    await until('d in the replaced folder', () => sink.objects.has('Pod/default/d'))
    await until('no conflict', () => sink.problems.length === 0)
    assert.deepEqual(Object.keys(sink.state()).sort(), ['Pod/default/a', 'Pod/default/d'])
    write('x/e.yaml', pod('e', '1'))
    await until('e in the replaced folder', () => sink.objects.has('Pod/default/e'))
  })
})

test('several objects in a file: a bad one does not hurt the others, and stays as it was', async () => {
  const file = (a: string, b: string) => `${a}---\n${b}`
  await withFiles({ 'f.yaml': file(pod('a', '1'), pod('b', '1')) }, async ({ folder, sink, write, until }) => {
    await until('initialised', () => sink.isInitialized)
    write('f.yaml', file(pod('a', 'no label'), pod('b', '2')))
    await until('b', () => sink.state()['Pod/default/b'] === '2')
    assert.equal(sink.state()['Pod/default/a'], '1')
    assert.deepEqual(
      sink.problems.map(({ severity, file, line, object }) => [severity, path.relative(folder, file), line, object]),
      [
        ['error', 'f.yaml', 6, 'Pod default/a'],
        ['warning', 'f.yaml', 6, undefined],
      ],
    )
    write('f.yaml', file('kind: "\n', pod('b', '3')))
    await until('b', () => sink.state()['Pod/default/b'] === '3')
    assert.equal(sink.state()['Pod/default/a'], '1')
    write('f.yaml', pod('b', '3'))
    await until('a gone', () => !sink.objects.has('Pod/default/a'))
    assert.deepEqual(sink.problems, [])
  })
})

test('the same object in two files: the first stays, the problem names both, and the second takes over', async () => {
  await withFiles({ 'b.yaml': pod('x', 'first') }, async ({ folder, sink, write, until }) => {
    await until('initialised', () => sink.isInitialized)
    write('a.yaml', pod('x', 'second'))
    await until('a problem', () => sink.problems.length > 0)
    assert.deepEqual(sink.state(), { 'Pod/default/x': 'first' })
    const [problem] = sink.problems
    assert.equal(problem?.file, path.join(folder, 'a.yaml'))
    assert.match(problem.message, /declared at .*\/b\.yaml:1 already/)
    write('c.yaml', pod('x', 'another'))
    await until('two problems', () => sink.problems.length === 2)
    fs.rmSync(path.join(folder, 'c.yaml'))
    await until('one problem', () => sink.problems.length === 1)
    assert.deepEqual(sink.log.filter(line => line === '+ Pod/default/x').length, 1)
    write('b.yaml', pod('x', 'third'))
    await until('the first file changed', () => sink.state()['Pod/default/x'] === 'third')
    fs.rmSync(path.join(folder, 'b.yaml'))
    await until('the second file', () => sink.state()['Pod/default/x'] === 'second')
    assert.deepEqual(sink.problems, [])
    assert.ok(!sink.log.includes('- Pod/default/x'), 'it was in force all the time')
  })
})

test('an object that moves to another file is never gone', async () => {
  await withFiles({ 'a.yaml': pod('x', '1') }, async ({ folder, sink, until }) => {
    await until('initialised', () => sink.isInitialized)
    fs.renameSync(path.join(folder, 'a.yaml'), path.join(folder, 'b.yaml'))
    await until('from b', () => sink.objects.get('Pod/default/x')?.origin.file.endsWith('b.yaml') ?? false)
    await until('no problem', () => sink.problems.length === 0)
    assert.ok(!sink.log.includes('- Pod/default/x'))
  })
})

test('a file that is truncated, and written a while later, is not acted on in between', async () => {
  await withFiles(
    { 'a.yaml': `${pod('a', '1')}---\n${pod('b', '1')}` },
    async ({ folder, sink, clock, until, noticed }) => {
      await until('initialised', () => sink.isInitialized)
      const file = fs.openSync(path.join(folder, 'a.yaml'), 'w')
      await noticed()
      await clock.advance(95)
      fs.writeSync(file, pod('a', '2'))
      await noticed()
      await clock.advance(8)
      fs.writeSync(file, `---\n${pod('b', '2')}`)
      fs.closeSync(file)
      await until('b', () => sink.state()['Pod/default/b'] === '2')
      assert.ok(!sink.log.some(line => line.startsWith('-')), sink.log.join(', '))
      assert.deepEqual(sink.problems, [])
    },
    { settleMs: 10 },
  )
})

test('a file that is empty for long is empty', async () => {
  await withFiles({ 'a.yaml': pod('a', '1') }, async ({ sink, write, until }) => {
    await until('initialised', () => sink.isInitialized)
    write('a.yaml', '')
    await until('a gone', () => sink.objects.size === 0)
  })
})

test('a file that keeps changing is taken all the same', async () => {
  await withFiles({}, async ({ sink, clock, write, noticed }) => {
    await clock.advance(1)
    for (let i = 0; i < 200 && !sink.objects.has('Pod/default/a'); i++) {
      write('a.yaml', pod('a', String(i)))
      await noticed()
      await clock.advance(0.5)
    }
    assert.ok(sink.objects.has('Pod/default/a'))
  })
})

test('what cannot be read is reported and leaves the objects in force', async () => {
  await withFiles({ 'a.yaml': pod('a', '1'), 'b.yaml': pod('b', '1') }, async ({ folder, sink, write, until }) => {
    await until('initialised', () => sink.isInitialized)
    fs.writeFileSync(path.join(folder, 'a.yaml'), Buffer.from([0x61, 0xff, 0xfe]))
    fs.rmSync(path.join(folder, 'b.yaml'))
    fs.mkdirSync(path.join(folder, 'b.yaml'))
    await until('two problems', () => sink.problems.filter(problem => problem.severity === 'error').length === 2)
    const messages = sink.problems.map(problem => problem.message)
    assert.ok(messages.includes('is not UTF-8 text') && messages.includes('is not a regular file'), messages.join(', '))
    assert.equal(sink.objects.size, 2)
    fs.rmdirSync(path.join(folder, 'b.yaml'))
    write('a.yaml', pod('a', '2'))
    await until('a', () => sink.state()['Pod/default/a'] === '2' && sink.objects.size === 1)
    assert.deepEqual(sink.problems, [])
  })
})

test('a single file can be a root, and only it counts', async () => {
  const files = { 'a.yaml': pod('a', '1'), 'b.yaml': pod('b', '1') }
  await withFiles(
    files,
    async ({ folder, sink, write, until }) => {
      await until('initialised', () => sink.isInitialized)
      write('b.yaml', pod('b', '2'))
      write('a.yaml.tmp', pod('a', '2'))
      fs.renameSync(path.join(folder, 'a.yaml.tmp'), path.join(folder, 'a.yaml'))
      await until('a', () => sink.state()['Pod/default/a'] === '2')
      assert.equal(sink.objects.size, 1)
    },
    { paths: ['a.yaml'] },
  )
})

test('a root that is not there keeps the source from being initialised; one that goes leaves its objects in force', async () => {
  const options = { paths: ['late', 'here'], rescanMs: 100 }
  const body = async ({ folder, sink, clock, write, until }: Bench) => {
    await until('here', () => sink.objects.has('Pod/default/a'))
    await clock.advance(1000)
    assert.equal(sink.isInitialized, false)
    assert.deepEqual(
      sink.problems.map(({ message, file }) => [message, path.basename(file)]),
      [['no such file or folder; what it held stays in force', 'late']],
    )
    write('late/b.yaml', pod('b', '1'))
    await until('initialised', () => sink.isInitialized)
    assert.deepEqual([sink.objects.size, sink.problems], [2, []])

    fs.renameSync(path.join(folder, 'late'), path.join(folder, 'away'))
    await until('a problem', () => sink.problems.length === 1)
    await clock.advance(1000)
    assert.equal(sink.objects.size, 2)
    write('late/b.yaml', pod('b', '2'))
    await until('b', () => sink.state()['Pod/default/b'] === '2')
    await until('no problem', () => sink.problems.length === 0)
  }
  await withFiles({ 'here/a.yaml': pod('a', '1') }, body, options)
})

test('a walk from time to time finds what no notification told of', async () => {
  const files = { 'a.yaml': pod('a', '1'), 'elsewhere.txt': pod('x', '1') }
  const body = async ({ folder, sink, clock, until }: Bench) => {
    await until('initialised', () => sink.isInitialized)
    // The kernel tells of the link, not of what it leads to.
    fs.symlinkSync(path.join(folder, 'elsewhere.txt'), path.join(folder, 'link.yaml'))
    await until('x', () => sink.objects.has('Pod/default/x'))
    fs.writeFileSync(path.join(folder, 'elsewhere.txt'), pod('x', '2'))
    for (let i = 0; i < 20; i++) await sleep(1)
    await clock.advance(500)
    assert.equal(sink.state()['Pod/default/x'], '1')
    await clock.advance(30_000)
    assert.equal(sink.state()['Pod/default/x'], '2')
  }
  await withFiles(files, body, { rescanMs: 30_000 })
})

test('a mounted ConfigMap, which changes through one link, is followed', async () => {
  await withFiles({ '..1/a.yaml': pod('a', '1'), '..2/a.yaml': pod('a', '2') }, async ({ folder, sink, until }) => {
    fs.symlinkSync('..1', path.join(folder, '..data'))
    fs.symlinkSync('..data/a.yaml', path.join(folder, 'a.yaml'))
    await until('a', () => sink.state()['Pod/default/a'] === '1')
    fs.symlinkSync('..2', path.join(folder, '..tmp'))
    fs.renameSync(path.join(folder, '..tmp'), path.join(folder, '..data'))
    await until('a', () => sink.state()['Pod/default/a'] === '2')
  })
})

/** A clock on which every look at it takes long. */
class SlowClock extends ManualClock {
  #spentMs = 0

  override nowMs(): number {
    this.#spentMs += 6
    return super.nowMs() + this.#spentMs
  }
}

const manyFiles = (version: string): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: 30 }, (_, i) => [`f${i}.yaml`, [0, 1, 2].map(j => pod(`p${i}-${j}`, version)).join('---\n')]),
  )

test('others get their turn while much is read, and what changes meanwhile is read again', async () => {
  let turns = 0
  const options = { clock: new SlowClock() }
  await withFiles(
    manyFiles('1'),
    async ({ sink, write, until }) => {
      const turn = () => {
        turns++
        // One that has been read, and one that has not.
        if (turns === 20) for (const name of ['f0', 'f29']) write(`${name}.yaml`, pod(`${name}-new`, '2'))
        if (!sink.isInitialized) setImmediate(turn)
      }
      setImmediate(turn)
      await until('initialised', () => sink.isInitialized)
      assert.ok(turns > 60, `only ${turns} turns for others`)
      await until('the changed ones', () => sink.objects.size === 30 * 3 - 4)
      for (const name of ['f0', 'f29']) assert.equal(sink.state()[`Pod/default/${name}-new`], '2')
    },
    options,
  )
})

test('what comes at once after the start is delivered at once, however long it takes to read', async () => {
  await withFiles(
    {},
    async ({ folder, sink, until }) => {
      await until('initialised', () => sink.isInitialized)
      const calls: number[] = []
      const apply = sink.apply.bind(sink)
      sink.apply = changes => {
        calls.push(changes.put.length)
        apply(changes)
      }
      fs.mkdirSync(path.join(folder, '.staged'))
      for (const [name, text] of Object.entries(manyFiles('1')))
        fs.writeFileSync(path.join(folder, '.staged', name), text)
      fs.renameSync(path.join(folder, '.staged'), path.join(folder, 'more'))
      await until('all', () => sink.objects.size === 90)
      assert.deepEqual(calls, [90])
    },
    { clock: new SlowClock() },
  )
})

test('nothing is delivered after an abort in the middle of reading', async () => {
  const folder = temporaryFolder()
  for (const [name, text] of Object.entries(manyFiles('1'))) fs.writeFileSync(path.join(folder, name), text)
  const [clock, sink, stop] = [new SlowClock(), new RecordingSink(), new AbortController()]
  const done = new FileSource([folder], { clock }).run(sink, stop.signal)
  assert.equal(clock.timers, 1, 'it has begun and is not done')
  stop.abort()
  await done
  await clock.advance(100)
  assert.deepEqual([sink.log, clock.timers], [[], 0])
  fs.rmSync(folder, { recursive: true })
})

test('an error in the sink ends the run with it', async () => {
  const folder = temporaryFolder()
  fs.writeFileSync(path.join(folder, 'a.yaml'), pod('a', '1'))
  const sink = new RecordingSink()
  sink.apply = () => assert.fail('broken sink')
  await assert.rejects(new FileSource([folder]).run(sink, new AbortController().signal), /broken sink/)
  fs.rmSync(folder, { recursive: true })
})
