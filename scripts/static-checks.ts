// The static checks as tests, so that `npm test` has one summary for everything. Run by node's test runner; not a *.test.ts, because
// the unit tests, which are found by that name, are beside these checks and not above them.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { runCheck, staticChecks } from './lib/checks.ts'

describe('static checks', { concurrency: 2 }, () => {
  for (const check of staticChecks()) {
    it(check.name, { skip: check.skip ?? false }, async () => {
      const { ok, output } = await runCheck(check)
      assert.ok(ok, `${check.name}:\n${output.trim()}`)
    })
  }
})
