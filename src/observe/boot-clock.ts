// Kernel records carry CLOCK_MONOTONIC; people want the time of day.

const REFRESH_MS = 60_000

/** Microseconds since the Unix epoch at monotonic zero; measured again every minute, since the wall clock is adjusted. */
export function bootClock(): () => number {
  let measuredMs = Number.NEGATIVE_INFINITY
  let micros = 0
  return () => {
    if (performance.now() - measuredMs > REFRESH_MS) {
      measuredMs = performance.now()
      micros = nextMillisecond() * 1000 - Number(process.hrtime.bigint() / 1000n)
    }
    return micros
  }
}

/** `Date.now()` at the moment at which it changes: between two changes it says less than is true, by up to a millisecond. */
function nextMillisecond(): number {
  const before = Date.now()
  let now = before
  while (now === before) now = Date.now()
  return now
}
