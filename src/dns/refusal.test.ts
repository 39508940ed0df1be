// What those are told whose questions are not allowed.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type Question, RCODE, readEdns, readQuery, readResponse, refuse, refuseUnreadable } from './index.ts'
import { message, optRecord } from './testing/messages.ts'

const asked = { id: 0xabcd, flags: 0x0110, questions: [{ name: 'Www.Example' }] }

function refused(query: Uint8Array, rcode: number) {
  const bytes = refuse(query, readQuery(query) as Question, rcode)
  return { bytes, question: readResponse(bytes) as Question }
}

describe('refusals', () => {
  it('repeat id and question as they were sent, and the flags that belong to the asker', () => {
    const query = message(asked)
    const { bytes, question } = refused(query, RCODE.refused)
    assert.deepEqual([question.id, question.name, question.flags], [0xabcd, 'www.example.', 0x8195])
    assert.deepEqual(bytes.subarray(12), query.subarray(12))
    assert.deepEqual([...bytes.subarray(4, 12)], [0, 1, 0, 0, 0, 0, 0, 0])
  })

  it('speak EDNS to those who do, and to nobody else', () => {
    const { bytes, question } = refused(message({ ...asked, additional: [optRecord(0x8000)] }), RCODE.nameError)
    assert.equal(question.flags & 15, 3)
    const { version, dnssecOk, payloadBytes } = readEdns(bytes, question) ?? {}
    assert.deepEqual([version, dnssecOk, payloadBytes], [0, true, 1232])
    const plain = refused(message(asked), RCODE.refused)
    assert.equal(readEdns(plain.bytes, plain.question), undefined)
  })

  it('of what cannot be read are a header', () => {
    const two = message({ id: 5, questions: [{ name: 'a' }, { name: 'b' }] })
    assert.deepEqual([...(refuseUnreadable(two) ?? [])], [0, 5, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0])
  })

  it('are never given to answers, or two servers would go on for ever', () => {
    assert.equal(refuseUnreadable(message({ flags: 0x8180 })), undefined)
    assert.equal(refuseUnreadable(new Uint8Array(3)), undefined)
  })

  it('can be read, whatever follows the question', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), rest => {
        const query = Uint8Array.from([...message(asked), ...rest])
        query.set([0, 3, 0, 1, 0, 2], 6)
        assert.equal(refused(query, RCODE.refused).question.name, 'www.example.')
      }),
    )
  })
})
