// `npm run format`: lays out TypeScript, JavaScript, JSON and C in the house's way, changing the files.

import { formatters, runCheck } from './lib/checks.ts'

for (const formatter of formatters()) {
  if (formatter.skip !== undefined) {
    console.log(`- ${formatter.name}: skipped: ${formatter.skip}`)
    continue
  }
  const { ok, output } = await runCheck(formatter)
  console.log(ok ? `✓ ${formatter.name}` : `✗ ${formatter.name}\n${output.trim()}`)
  if (!ok) process.exitCode = 1
}
