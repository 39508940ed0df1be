// Output too long to be one text: rows are printed as they come, many lines at once.

/** Prints a JSON list with a line for each row: all of it may be longer than a string can be. */
export function printJsonList(rows: Iterable<object>): void {
  printLines(jsonLines(rows))
}

function* jsonLines(rows: Iterable<object>): Generator<string> {
  let held: string | undefined
  for (const row of rows) {
    yield held === undefined ? '[' : `${held},`
    held = `  ${JSON.stringify(row)}`
  }
  if (held === undefined) yield '[]'
  else {
    yield held
    yield ']'
  }
}

const LINES_AT_ONCE = 2000

/** Prints lines, many at once. */
export function printLines(lines: Iterable<string>): void {
  let batch: string[] = []
  for (const line of lines) if (batch.push(line) === LINES_AT_ONCE) batch = written(batch)
  written(batch)
}

function written(lines: readonly string[]): string[] {
  if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`)
  return []
}
