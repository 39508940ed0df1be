// A child for tests: judges by every rule set but that with the number 2, and tells an
// event of each change; where the change takes rule sets away, many long ones.

import type { L7Event } from '../../tables/index.ts'
import { serveAsChild } from '../child.ts'

const NOBODY = { address: '10.0.0.1', port: 1, identity: 0 }
const EVENT: L7Event = {
  timeMicros: 0,
  verdict: 'FORWARDED',
  transport: 'UDP',
  opener: NOBODY,
  responder: NOBODY,
  egress: { set: 0, policyRule: 0 },
  ingress: { set: 0, policyRule: 0 },
  content: { parser: 'tls', serverName: '' },
}

/** Some 64 KiB. */
const LONG = 1 << 15

serveAsChild((start, emit) => {
  if (start.bpf === 'broken') throw new Error('told to be broken')
  return {
    apply({ add, remove }) {
      for (const number of remove) emit({ ...EVENT, reason: `${number} `.repeat(LONG) })
      emit({ ...EVENT, reason: `of ${start.bpf}: ${add.map(({ number }) => number).join(', ')}` })
      return add.filter(({ number }) => number === 2).map(({ number }) => ({ number, error: `not by ${number}` }))
    },
  }
})
