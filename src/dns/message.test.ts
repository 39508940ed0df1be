// What is read of messages: of those that servers send, and of those that nobody should.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  followChain,
  limitPayload,
  readAnswer,
  readEdns,
  readName,
  readQuery,
  readResponse,
  typeName,
} from './index.ts'
import { addressRecord, cnameRecord, message, QUESTION_NAME, TYPE, wireName } from './testing/messages.ts'

const ANSWER = 0x8180
const v4 = (last: number): number[] => [192, 0, 2, last]

function records(bytes: Uint8Array) {
  const question = readResponse(bytes)
  assert.ok(!('problem' in question), JSON.stringify(question))
  return readAnswer(bytes, question)
}

describe('questions', () => {
  it('are read with their name in lower case', () => {
    const question = readQuery(message({ id: 7, questions: [{ name: 'WWW.Example.com', type: TYPE.AAAA }] }))
    assert.deepEqual(question, { id: 7, flags: 0x100, name: 'www.example.com.', type: 28, class: 1, end: 33 })
  })

  it('keep labels apart whatever bytes they hold', () => {
    const label = (...bytes: number[]) => [bytes.length, ...bytes]
    const wire = Uint8Array.from([...label(0x61, 0x2e, 0x62), ...label(0x2a), ...label(0, 0x5c, 0xff), 0])
    assert.equal(readName(wire, 0, false)?.text, 'a\\046b.\\042.\\000\\092\\255.')
    assert.equal(readName(Uint8Array.of(0), 0, false)?.text, '.')
  })

  const asked = { questions: [{ name: 'a.example' }] }
  const refused = [
    { given: 'no header', bytes: new Uint8Array(11), problem: 'SHORT' },
    { given: 'an answer', bytes: message({ ...asked, flags: ANSWER }), problem: 'WRONG_DIRECTION' },
    { given: 'no question', bytes: message({}), problem: 'QUESTION_COUNT' },
    {
      given: 'two questions',
      bytes: message({ questions: [{ name: 'a' }, { name: 'b' }] }),
      problem: 'QUESTION_COUNT',
    },
    { given: 'a name cut off', bytes: message(asked).subarray(0, 18), problem: 'QUESTION' },
    { given: 'no type', bytes: message(asked).subarray(0, 24), problem: 'QUESTION' },
    { given: 'a long label', bytes: message({ questions: [{ name: 'x'.repeat(64) }] }), problem: 'QUESTION' },
    { given: 'a long name', bytes: message({ questions: [{ name: 'x.'.repeat(128) }] }), problem: 'QUESTION' },
    {
      given: 'a pointer',
      bytes: Uint8Array.of(0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1),
      problem: 'QUESTION',
    },
  ]
  for (const { given, bytes, problem } of refused)
    it(`are refused: ${given}`, () => assert.deepEqual(readQuery(bytes), { problem }))

  it('may have the longest name there is', () => {
    const name = 'x.'.repeat(127)
    assert.equal((readQuery(message({ questions: [{ name }] })) as { name: string }).name, name)
  })

  it('have types that people know', () =>
    assert.deepEqual([28, 65, 65_280].map(typeName), ['AAAA', 'HTTPS', 'TYPE65280']))
})

describe('answers', () => {
  const questions = [{ name: 'www.example' }]

  it('give addresses of both families, also behind pointers', () => {
    const six = [0x20, 1, 0xd, 0xb8, ...Array<number>(11).fill(0), 5]
    const answers = [addressRecord(QUESTION_NAME, v4(1), 30), addressRecord('WWW.example', six)]
    assert.deepEqual(records(message({ flags: ANSWER, questions, answers })).records, [
      { owner: 'www.example.', ttlSeconds: 30, type: 'A', address: '192.0.2.1' },
      { owner: 'www.example.', ttlSeconds: 60, type: 'AAAA', address: '2001:db8::5' },
    ])
  })

  it('leave out what is no address and no alias, and take a negative lifetime for none', () => {
    const other = { owner: wireName('www.example'), type: TYPE.TXT, content: [1, 65] }
    const chaos = { ...addressRecord('www.example', v4(1)), class: 3 }
    const answers = [other, chaos, addressRecord('www.example', v4(2), 0xffffffff)]
    assert.deepEqual(records(message({ flags: ANSWER, questions, answers })).records, [
      { owner: 'www.example.', ttlSeconds: 0, type: 'A', address: '192.0.2.2' },
    ])
  })

  it('are read up to where they are cut off or wrong', () => {
    const first = addressRecord(QUESTION_NAME, v4(1))
    const good = message({ flags: ANSWER | 0x200, questions, answers: [first, first] })
    assert.deepEqual(records(good.subarray(0, -1)).records.length, 1)
    assert.equal(records(good).truncated, true)
    const wrong = { ...first, content: [1, 2, 3] }
    assert.equal(records(message({ flags: ANSWER, questions, answers: [first, wrong, first] })).records.length, 1)
    assert.equal(
      records(message({ flags: ANSWER, questions, answers: [first], answerCount: 65_535 })).records.length,
      1,
    )
  })

  it('end where pointers go round or forward', () => {
    const at = 12 + 13 + 4
    for (const target of [at, at + 2, 0x3fff]) {
      const answers = [addressRecord(target, v4(1))]
      assert.deepEqual(records(message({ flags: ANSWER, questions, answers })).records, [])
    }
  })

  it('end where pointers lead to pointers without end', () => {
    const bytes = new Uint8Array(65_535)
    bytes.set(message({ flags: ANSWER, questions, answerCount: 65_535 }))
    // From here on nothing but pointers, each to the one before.
    for (let at = 30; at < 16_000; at += 2) bytes.set([0xc0 | ((at - 2) >> 8), (at - 2) & 0xff], at)
    assert.equal(readName(bytes, 15_000, true), undefined)
    assert.deepEqual(records(bytes).records, [])
  })

  it('of any bytes are read without an error', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), bytes => readAll(bytes)))
    const header = fc.uint8Array({ minLength: 12, maxLength: 12 })
    const pointed = fc.array(fc.constantFrom(0xc0, 0, 1, 12, 20, 29, 63, 4, 28, 5), { maxLength: 400 })
    fc.assert(
      fc.property(header, pointed, (head, body) => {
        head.set([0, 1, 0, 40], 4)
        readAll(Uint8Array.from([...head, ...wireName('a.b'), 0, 1, 0, 1, ...body]))
      }),
      { numRuns: 500 },
    )
  })
})

/** Reads all that there is to read. */
function readAll(bytes: Uint8Array): void {
  for (const question of [readQuery(bytes), readResponse(bytes)]) {
    if ('problem' in question) continue
    assert.ok(question.end <= bytes.length && question.name.endsWith('.'))
    readEdns(bytes, question)
    limitPayload(Uint8Array.from(bytes), question)
    const { records } = readAnswer(bytes, question)
    followChain(question.name, records)
  }
}

describe('chains', () => {
  const chain = (...answers: Parameters<typeof message>[0]['answers'] & object) =>
    followChain(
      'www.example.',
      records(message({ flags: ANSWER, questions: [{ name: 'www.example' }], answers })).records,
    )

  it('give the name that was asked for all addresses that it leads to, in any order of the records', () => {
    const found = chain(
      addressRecord('edge.cdn', v4(3), 300),
      cnameRecord('www.cdn', 'edge.cdn', 20),
      cnameRecord('www.example', 'www.cdn', 3600),
      addressRecord('edge.cdn', v4(4), 10),
      addressRecord('edge.cdn', v4(4), 50),
    )
    assert.deepEqual(found, {
      addresses: [
        { address: '192.0.2.3', ttlSeconds: 20 },
        { address: '192.0.2.4', ttlSeconds: 10 },
      ],
      cnames: ['www.cdn.', 'edge.cdn.'],
    })
  })

  it('give nothing of names that were not asked for', () => {
    const found = chain(addressRecord('bank.example', v4(6)), cnameRecord('x.example', 'bank.example'))
    assert.deepEqual(found, { addresses: [], cnames: [] })
  })

  it('end when they go round', () => {
    const found = chain(cnameRecord('www.example', 'b.example'), cnameRecord('b.example', 'www.example'))
    assert.deepEqual(found.cnames, ['b.example.'])
  })
})
