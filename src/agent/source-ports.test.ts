// Ports of translated connections are none that sockets or node ports have.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sourcePorts } from './source-ports.ts'

const cases: readonly [string, string, number, number][] = [
  ['the kernel’s default', '32768\t60999', 1024, 28976],
  ['all that need no privileges up to the node ports', '1024 29999', 32768, 32768],
  ['one that goes over the node ports', '10000 65535', 1024, 8976],
  ['a high one', '61000 65535', 1024, 28976],
]
for (const [name, range, first, count] of cases)
  test(name, () => assert.deepEqual(sourcePorts(range), { port_first: first, port_count: count }))

test('none left', () => assert.throws(() => sourcePorts('1024 65535'), /leaves no ports/))
