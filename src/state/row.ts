// What a row is: a plain object that nobody changes once it is in a table.
// Here are the two things that the store does with row values: freeze them and
// tell whether two of them say the same. Everything else is in table.ts.

/** A row: a plain object of plain values. Class instances inside are allowed but are opaque to the store. */
export type Row = object

/**
 * Freezes a row: the object itself and the plain objects and arrays inside it. An object that is frozen already is
 * not entered again, so parts shared between rows cost nothing. Class instances and typed arrays stay as they are:
 * their owners promise not to change them.
 */
export function freezeRow<R extends Row>(row: R): Readonly<R> {
  freeze(row)
  return row
}

/**
 * Whether two row values say the same. Plain objects, arrays and typed arrays are compared by content, everything else
 * (class instances, functions, maps, sets) by reference: at worst an equal row is taken for a changed one, never the
 * other way round.
 */
export function rowsEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => rowsEqual(item, b[i]))
  if (a instanceof Uint8Array) return b instanceof Uint8Array && bytesEqual(a, b)
  return isPlain(a) && isPlain(b) && fieldsEqual(a, b)
}

type Fields = Readonly<Record<string, unknown>>

function fieldsEqual(a: Fields, b: Fields): boolean {
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length) return false
  return names.every(name => Object.hasOwn(b, name) && rowsEqual(a[name], b[name]))
}

function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

function isPlain(value: object): value is Fields {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return
  if (!Array.isArray(value) && !isPlain(value)) return
  Object.freeze(value)
  for (const inner of Object.values(value)) freeze(inner)
}
