// Shows what set-up is doing: one line for each step, with its seconds. On a terminal the line moves while the step works; elsewhere
// a step is announced, a sign of life follows now and then, and its end is told. Writes to stderr, so that output can be piped.

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const FRAME_MS = 100
const SIGN_OF_LIFE_MS = 20_000

/** @typedef {{ step: <T>(title: string, work: (note: (line: string) => void) => Promise<T>) => Promise<T> }} Progress */

/**
 * @param {Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'columns'>} stream
 * @returns {Progress}
 */
export function createProgress(stream = process.stderr) {
  return {
    async step(title, work) {
      const startedAt = performance.now()
      const seconds = () => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`
      const line = stream.isTTY ? movingLine(stream, title, seconds) : plainLines(stream, title, seconds)
      try {
        const result = await work(line.note)
        line.end(`✓ ${title}  ${seconds()}`)
        return result
      } catch (error) {
        line.end(`✗ ${title}  ${seconds()}`)
        throw error
      }
    },
  }
}

/**
 * @param {Pick<NodeJS.WriteStream, 'write' | 'columns'>} stream
 * @param {string} title
 * @param {() => string} seconds
 */
function movingLine(stream, title, seconds) {
  let frame = 0
  let last = ''
  const draw = () => {
    const text = `${FRAMES[frame++ % FRAMES.length]} ${title}  ${seconds()}  ${last}`
    stream.write(`\r\x1b[2K${text.slice(0, Math.max(20, (stream.columns ?? 80) - 1))}`)
  }
  draw()
  const timer = setInterval(draw, FRAME_MS)
  return {
    note: (/** @type {string} */ text) => {
      // oxlint-disable-next-line no-control-regex -- a tool's colours and cursor moves must not break our one line
      last = text.replace(/\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x1f]/g, ' ').trim()
    },
    end: (/** @type {string} */ text) => {
      clearInterval(timer)
      stream.write(`\r\x1b[2K${text}\n`)
    },
  }
}

/**
 * @param {Pick<NodeJS.WriteStream, 'write'>} stream
 * @param {string} title
 * @param {() => string} seconds
 */
function plainLines(stream, title, seconds) {
  stream.write(`· ${title} …\n`)
  const timer = setInterval(() => stream.write(`  ${title}: still working, ${seconds()}\n`), SIGN_OF_LIFE_MS)
  return {
    note: () => {},
    end: (/** @type {string} */ text) => {
      clearInterval(timer)
      stream.write(`${text}\n`)
    },
  }
}
