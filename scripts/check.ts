// `npm run check`: every static check and the unit tests, two at a time, one line each, and the full output of what failed at the
// end. Needs no root and no BPF. Arguments name the checks to run; without any, all of them.

import { type Check, type CheckResult, runCheck, staticChecks, UNIT_TESTS } from './lib/checks.ts'

const AT_A_TIME = 2

async function main(names: readonly string[]): Promise<number> {
  const startedAt = performance.now()
  const all = [...UNIT_TESTS, ...staticChecks()]
  const unknown = names.filter(name => !all.some(check => isNamed(check, name)))
  if (unknown.length > 0) {
    console.error(`unknown check: ${unknown.join(', ')}. Checks: ${all.map(({ name }) => name).join(', ')}`)
    return 1
  }
  const results = await runAll(all.filter(check => names.length === 0 || names.some(name => isNamed(check, name))))
  const failed = results.filter(({ ok }) => !ok)
  for (const { check, output } of failed)
    console.log(`\n── ${check.name} ──\n${UNIT_TESTS.includes(check) ? failuresOf(output) : output.trim()}`)
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  console.log(
    failed.length > 0
      ? `\nfailed: ${failed.map(({ check }) => check.name).join(', ')} (${seconds} s)`
      : `all checks passed (${seconds} s)`,
  )
  return failed.length > 0 ? 1 : 0
}

/** The unit tests are several checks, and have one name. */
const isNamed = (check: Check, name: string): boolean => check.name === name || check.name.startsWith(`${name} `)

async function runAll(checks: readonly Check[]): Promise<CheckResult[]> {
  const results: CheckResult[] = []
  const waiting = checks.values()
  const worker = async (): Promise<void> => {
    for (const check of waiting) {
      if (check.skip !== undefined) {
        console.log(`- ${check.name.padEnd(18)} skipped: ${check.skip}`)
        continue
      }
      const result = await runCheck(check)
      results.push(result)
      console.log(
        `${result.ok ? '✓' : '✗'} ${check.name.padEnd(18)} ${result.seconds.toFixed(1).padStart(5)} s${countTests(result)}`,
      )
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, worker))
  return results
}

/** The closing part of the test runner's output, which repeats what failed; all of it when the runner did not get that far. */
function failuresOf(output: string): string {
  const at = output.lastIndexOf('✖ failing tests:')
  return (at < 0 ? output : output.slice(at)).trim()
}

/** What the test runner counted, from its closing lines. */
function countTests({ check, output }: CheckResult): string {
  if (!UNIT_TESTS.includes(check)) return ''
  const count = (word: string): string => new RegExp(`^ℹ ${word} (\\d+)$`, 'm').exec(output)?.[1] ?? '?'
  return `   ${count('pass')} passed, ${count('fail')} failed, ${count('skipped')} skipped`
}

process.exitCode = await main(process.argv.slice(2))
