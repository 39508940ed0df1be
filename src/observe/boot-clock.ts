// Kernel records carry CLOCK_MONOTONIC; people want the time of day.

const REFRESH_MS = 60_000

/** Microseconds since the Unix epoch at monotonic zero; measured again every minute, since the wall clock is adjusted. */
export function bootClock(): () => number {
  let measuredMs = Number.NEGATIVE_INFINITY
  let micros = 0
  return () => {
    if (performance.now() - measuredMs > REFRESH_MS) {
      measuredMs = performance.now()
      micros = Date.now() * 1000 - Number(process.hrtime.bigint() / 1000n)
    }
    return micros
  }
}
