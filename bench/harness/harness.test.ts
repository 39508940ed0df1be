// Tests of the harness: medians, ratios, interleaving and the table.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { interleave, orderOf } from './interleave.ts'
import { comparedLine, plainLine, type Section, verdictOf } from './result.ts'
import { median, quantile, ratioOfRounds } from './statistics.ts'
import { markdownTable, quantityText, replaceMeasured, terminalTable } from './table.ts'

test('quantiles lie between the nearest samples, in whatever order these came', () => {
  const cases = [
    { samples: [3, 1, 2], part: 0.5, want: 2 },
    { samples: [4, 1, 3, 2], part: 0.5, want: 2.5 },
    { samples: [7], part: 0.99, want: 7 },
    { samples: [10, 0], part: 0.25, want: 2.5 },
    { samples: [1, 2, 3], part: 1, want: 3 },
    { samples: [1, 2, 3], part: 0, want: 1 },
  ]
  for (const { samples, part, want } of cases) assert.equal(quantile(samples, part), want)
  assert.throws(() => median([]), RangeError)
})

test('a ratio is taken round by round: what slows a whole round leaves it as it is', () => {
  const slowdowns = [1, 8, 2, 0.5, 3, 1, 5]
  const measured = slowdowns.map(slowdown => 90 / slowdown)
  const yardstick = slowdowns.map(slowdown => 100 / slowdown)
  assert.equal(ratioOfRounds(measured, yardstick).median.toFixed(6), '0.900000')
  assert.throws(() => ratioOfRounds([1], [1, 2]), RangeError)
})

test('the bounds of a ratio leave out as many rounds at each end as a sign test allows at 95 %', () => {
  // Critical values of the two-sided sign test at 5 %, from its tables.
  const leftOut = { 5: 0, 6: 0, 8: 0, 9: 1, 11: 1, 12: 2, 15: 3, 20: 5, 25: 7 }
  for (const [rounds, want] of Object.entries(leftOut)) {
    const values = Array.from({ length: Number(rounds) }, (_, i) => i + 1)
    const { low, high } = ratioOfRounds(
      values,
      values.map(() => 1),
    )
    assert.deepEqual([low, high], [1 + want, Number(rounds) - want], `${rounds} rounds`)
  }
})

test('the bounds hold the median', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0.1, max: 10, noNaN: true }), { minLength: 1, maxLength: 60 }), values => {
      const { low, median, high } = ratioOfRounds(
        values,
        values.map(() => 1),
      )
      assert.ok(low <= median && median <= high)
    }),
  )
})

test('every contestant has every place in the order equally often', () => {
  for (const contestants of [['a'], ['a', 'b'], ['a', 'b', 'c']]) {
    const size = contestants.length
    const orders = Array.from({ length: 2 * size }, (_, round) => orderOf(round, contestants))
    for (let place = 0; place < size; place++)
      for (const name of contestants)
        assert.equal(orders.filter(order => order[place] === name).length, 2, `${name} at ${place} of ${size}`)
  }
})

test('samples come by round, without the one that warms up', async () => {
  const calls: string[] = []
  const contestant = (name: 'x' | 'y') => ({ name, sample: () => Promise.resolve(calls.push(name)) })
  const { signal } = new AbortController()
  const samples = await interleave([contestant('x'), contestant('y')], { count: 3, signal })
  assert.equal(calls.length, 8)
  assert.deepEqual([samples.x.length, samples.y.length], [3, 3])
  assert.ok([...samples.x, ...samples.y].every(call => call > 2))
  const stopped = AbortSignal.abort(new Error('interrupted'))
  await assert.rejects(interleave([contestant('x')], { count: 1, signal: stopped }), /interrupted/)
})

test('a target is met at its bound', () => {
  assert.equal(verdictOf(0.9, { kind: 'at least', value: 0.9 }), 'met')
  assert.equal(verdictOf(0.89, { kind: 'at least', value: 0.9 }), 'missed')
  assert.equal(verdictOf(1.05, { kind: 'at most', value: 1.05 }), 'met')
  assert.equal(verdictOf(1.06, { kind: 'at most', value: 1.05 }), 'missed')
  assert.equal(verdictOf(1, undefined), 'no target')
})

const SECTION: Section = {
  name: 'speed',
  title: 'Speed',
  lines: [
    comparedLine({ id: 'crr', text: 'new connections', unit: '/s', target: { kind: 'at least', value: 0.9 } }, 'bare', {
      measured: [27_123, 27_000, 28_000],
      yardstick: [30_000, 30_000, 35_000],
    }),
    plainLine({ id: 'p50', text: 'p50', unit: 'ms', target: { kind: 'at most', value: 10 } }, 12.3456),
    plainLine({ id: 'size', text: 'a | b', unit: 'bytes' }, 14_692),
  ],
}

test('the table gives target, figure, yardstick, ratio and verdict', () => {
  assert.equal(
    markdownTable([SECTION]),
    [
      '### Speed',
      '',
      '| What | Target | Measured | Yardstick | Ratio | Verdict |',
      '| --- | --- | --- | --- | --- | --- |',
      '| new connections | ≥ 0.90 | 27,123 /s | bare 30,000 /s | 0.900 (0.80–0.90) | met |',
      '| p50 | ≤ 10 ms | 12.3 ms |  |  | **missed** |',
      '| a \\| b |  | 14,692 bytes |  |  | no target |',
    ].join('\n'),
  )
  const lines = terminalTable([SECTION]).split('\n')
  assert.ok(lines.some(line => /new connections.*≥ 0\.90.*27,123 \/s.*bare 30,000 \/s.*0\.900.*met/.test(line)))
})

test('quantities have three digits that mean something', () => {
  const cases = {
    '31,400 /s': 31_412.7,
    '31,412 /s': 31_412,
    '2.31 /s': 2.3124,
    '0.082 /s': 0.0823,
    '46.1 /s': 46.12,
    '0 /s': 0,
  }
  for (const [want, value] of Object.entries(cases)) assert.equal(quantityText(value, '/s'), want)
})

test('only what stands between the marks of a document is replaced', () => {
  const marks = ['<!-- measured: written by npm run bench -->', '<!-- end of measured -->'] as const
  const document = `# By hand\n\n${marks[0]}\nold\n${marks[1]}\n\nmore by hand\n`
  const want = `# By hand\n\n${marks[0]}\n\nnew\n\n${marks[1]}\n\nmore by hand\n`
  assert.equal(replaceMeasured(document, 'new'), want)
  assert.equal(replaceMeasured(want, 'new'), want)
  assert.throws(() => replaceMeasured('no marks', 'new'), /no '<!-- measured/)
})
