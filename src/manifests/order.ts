// The order in which names are listed and compared.

/** By code units: the same on every node, whatever its language. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
