// Where the proxy says what it does: pino's logger, as far as it is used.

export type Log = {
  info(fields: Readonly<Record<string, unknown>>, message: string): void
  error(fields: Readonly<Record<string, unknown>>, message: string): void
}
