// Reads BTF, the type information of a BPF object, and answers questions about
// it: types, struct layouts, enum tables. Pure; malformed input is a FormatError.
// Encoding and decoding of values is codec.ts, map declarations are object.ts.
// Source: Documentation/bpf/btf.rst of Linux.

import { type BtfType, parseTypes, resolvableKinds } from './btf-types.ts'
import { FormatError } from './errors.ts'

export type { BtfMember, BtfType } from './btf-types.ts'

export type FieldLayout = { readonly offset: number; readonly size: number; readonly typeId: number }

export type StructLayout = {
  readonly name: string
  /** Bytes. */
  readonly size: number
  readonly typeId: number
  /** Direct fields by name; those of anonymous members are listed as if they were the struct's own. */
  readonly fields: Readonly<Record<string, FieldLayout>>
  /** A field by name or dotted path, such as `tuple.source`. @throws FormatError when there is none */
  field(path: string): FieldLayout
}

/** The kernel's own bound on chains of typedefs and nested types (MAX_RESOLVE_DEPTH). */
const MAX_DEPTH = 32
const MAX_SIZE = 0xffff_ffff

export class Btf {
  /** What BPF_BTF_LOAD takes. */
  readonly bytes: Uint8Array
  /** By type id; 0 is `void`. */
  readonly types: readonly BtfType[]
  readonly #byName: ReadonlyMap<string, readonly BtfType[]>

  /** @throws FormatError */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.types = parseTypes(bytes)
    this.#byName = Map.groupBy(this.types, type => type.name)
  }

  /** @throws FormatError when there is no type of that number */
  type(id: number): BtfType {
    const type = this.types[id]
    if (!type) throw new FormatError(`BTF has no type ${id}`)
    return type
  }

  find<Kind extends BtfType['kind']>(name: string, kind: Kind): Extract<BtfType, { kind: Kind }> | undefined {
    return this.#byName.get(name)?.find((type): type is Extract<BtfType, { kind: Kind }> => type.kind === kind)
  }

  /** The type behind typedefs and qualifiers. */
  resolve(id: number): BtfType {
    let type = this.type(id)
    for (let depth = 0; resolvableKinds.has(type.kind) && 'target' in type; depth++) {
      if (depth === MAX_DEPTH) throw new FormatError(`BTF type ${id} is a chain without end`)
      type = this.type(type.target)
    }
    return type
  }

  /** Names of the typedefs a type passes through, outermost first: how `__be16` is told from `__u16`. */
  typedefNames(id: number): string[] {
    const names: string[] = []
    let type = this.type(id)
    for (let depth = 0; resolvableKinds.has(type.kind) && 'target' in type && depth < MAX_DEPTH; depth++) {
      if (type.kind === 'typedef') names.push(type.name)
      type = this.type(type.target)
    }
    return names
  }

  /** Size in bytes. @throws FormatError for a type without one, such as a function */
  sizeOf(id: number, depth = 0): number {
    if (depth > MAX_DEPTH) throw new FormatError(`BTF type ${id} is nested without end`)
    const type = this.resolve(id)
    switch (type.kind) {
      case 'int':
      case 'float':
      case 'enum':
      case 'enum64':
      case 'struct':
      case 'union':
      case 'section':
        return type.size
      case 'pointer':
        return 8
      case 'array': {
        const size = type.length * this.sizeOf(type.element, depth + 1)
        if (size > MAX_SIZE) throw new FormatError(`BTF type ${id} is larger than memory`)
        return size
      }
      default:
        throw new FormatError(`BTF type ${id} (${type.kind} ${type.name}) has no size`)
    }
  }

  /** Layout of `struct NAME`. @throws FormatError when the object knows no such struct */
  struct(name: string): StructLayout {
    const type = this.find(name, 'struct')
    if (!type) throw new FormatError(missing(`struct ${name}`))
    return this.layout(type.id)
  }

  /** Layout of a struct or union by type id. */
  layout(id: number): StructLayout {
    const type = this.resolve(id)
    if (type.kind !== 'struct' && type.kind !== 'union') throw new FormatError(`BTF type ${id} is not a struct`)
    const fields: Record<string, FieldLayout> = {}
    this.#collectFields(type, 0, fields, 0)
    const layout: StructLayout = {
      name: type.name,
      size: type.size,
      typeId: type.id,
      fields,
      field: path => {
        const [first = '', ...rest] = path.split('.')
        const field = fields[first]
        if (!field) throw new FormatError(`struct ${type.name} has no field ${first}`)
        if (rest.length === 0) return field
        const inner = this.layout(field.typeId).field(rest.join('.'))
        return { ...inner, offset: field.offset + inner.offset }
      },
    }
    return layout
  }

  /** Constants of `enum NAME` by name, 64-bit enums included. @throws FormatError when a value is not a safe integer */
  enumValues(name: string): Record<string, number> {
    const narrow = this.find(name, 'enum')
    if (narrow) return Object.fromEntries(narrow.values)
    const wide = this.find(name, 'enum64')
    if (!wide) throw new FormatError(missing(`enum ${name}`))
    return Object.fromEntries(
      wide.values.map(([constant, value]) => {
        if (!Number.isSafeInteger(Number(value))) throw new FormatError(`enum ${name}: ${constant} exceeds 2^53`)
        return [constant, Number(value)]
      }),
    )
  }

  #collectFields(
    type: Extract<BtfType, { kind: 'struct' | 'union' }>,
    base: number,
    fields: Record<string, FieldLayout>,
    depth: number,
  ): void {
    if (depth > MAX_DEPTH) throw new FormatError(`BTF struct ${type.name} is nested without end`)
    for (const member of type.members) {
      const offset = base + Math.floor(member.bitOffset / 8)
      const resolved = this.resolve(member.type)
      if (member.name === '' && (resolved.kind === 'struct' || resolved.kind === 'union'))
        this.#collectFields(resolved, offset, fields, depth + 1)
      else if (member.name !== '') fields[member.name] = { offset, size: this.sizeOf(member.type), typeId: member.type }
    }
  }
}

const missing = (what: string): string =>
  `the object's BTF has no ${what}; clang keeps only types that a map, a global or a function signature uses`
