// What queries say of EDNS, and how large their answers may be.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { limitPayload, type Question, readEdns, readQuery } from './index.ts'
import { addressRecord, type MessageRecord, message, optRecord } from './testing/messages.ts'

const V4 = [192, 0, 2, 1]
const TSIG: MessageRecord = { owner: [0], type: 250, class: 255, ttl: 0, content: [1, 2] }

function read(...additional: MessageRecord[]) {
  const bytes = message({ questions: [{ name: 'a.example' }], additional })
  const question = readQuery(bytes) as Question
  return { bytes, question, edns: () => readEdns(bytes, question) }
}

describe('EDNS', () => {
  it('is known from the records that queries carry', () => {
    const { version, dnssecOk, payloadBytes, isSigned } = read(optRecord(0x8000)).edns() ?? {}
    assert.deepEqual([version, dnssecOk, payloadBytes, isSigned], [0, true, 4096, false])
    assert.equal(read(addressRecord('x', V4), optRecord(0, 1)).edns()?.version, 1)
    assert.equal(read().edns(), undefined)
    assert.equal(read(optRecord(), TSIG).edns()?.isSigned, true)
  })

  it('asks for answers that need no fragments', () => {
    const large = read(optRecord(0x8000))
    limitPayload(large.bytes, large.question)
    assert.deepEqual([large.edns()?.payloadBytes, large.edns()?.dnssecOk], [1232, true])
    const small = read({ ...optRecord(), class: 512 })
    limitPayload(small.bytes, small.question)
    assert.equal(small.edns()?.payloadBytes, 512)
  })

  it('is left as it is in a query that is signed', () => {
    const { bytes, question, edns } = read(optRecord(), TSIG)
    limitPayload(bytes, question)
    assert.equal(edns()?.payloadBytes, 4096)
  })
})
