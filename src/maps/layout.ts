// How TypeScript says what it expects of a C struct or enum, and the check of that
// against BTF. C is where a layout is declared; a shape below only names the fields
// and what kind of value the codec gives for each. Type and check come from the
// same words, so the two sides cannot drift apart unnoticed. Pure.

import type { Btf, BtfType } from '../bpf/index.ts'

/** What the codec gives for a field. A pair is an array of two; another struct stands by its shape. */
export type FieldKind =
  | 'number'
  | 'bigint'
  | 'boolean'
  | 'bytes'
  | 'pair'
  | 'bigint pair'
  | StructShape
  | { readonly pairOf: StructShape }

export type StructShape = { readonly struct: string; readonly fields: Readonly<Record<string, FieldKind>> }

type FieldValue<Kind> = Kind extends 'number'
  ? number
  : Kind extends 'bigint'
    ? bigint
    : Kind extends 'boolean'
      ? boolean
      : Kind extends 'bytes'
        ? Uint8Array
        : Kind extends 'pair'
          ? readonly [number, number]
          : Kind extends 'bigint pair'
            ? readonly [bigint, bigint]
            : Kind extends StructShape
              ? StructValue<Kind>
              : Kind extends { readonly pairOf: infer Part extends StructShape }
                ? readonly [StructValue<Part>, StructValue<Part>]
                : never

/** The value that goes in and out of maps for a shape. */
export type StructValue<Shape extends StructShape> = {
  readonly [Name in keyof Shape['fields']]: FieldValue<Shape['fields'][Name]>
}

/** Names the fields that TypeScript knows of `struct NAME`; padding is left out. */
export function struct<const Fields extends Readonly<Record<string, FieldKind>>>(
  name: string,
  fields: Fields,
): { readonly struct: string; readonly fields: Fields } {
  return { struct: name, fields }
}

/** An array of two structs. */
export function pairOf<const Shape extends StructShape>(shape: Shape): { readonly pairOf: Shape } {
  return { pairOf: shape }
}

/** Names and numbers of a C enum, without the prefix that C needs to keep them apart. */
export type EnumTable<Name extends string = string> = {
  readonly number: Readonly<Record<Name, number>>
  readonly names: readonly Name[]
  name(number: number): Name | undefined
  /** The name, or the number where it has none. */
  text(number: number): string
}

export type EnumShape<Name extends string = string> = {
  readonly enumeration: string
  readonly prefix: string
  readonly names: readonly Name[]
}

/** Names the constants that TypeScript knows of `enum NAME`. The numbers come from BTF. */
export function enumeration<const Name extends string>(
  name: string,
  prefix: string,
  names: readonly Name[],
): EnumShape<Name> {
  return { enumeration: name, prefix, names }
}

/** The compiled datapath and this program do not know the same layouts. Build both from the same source. */
export class LayoutError extends Error {
  override readonly name = 'LayoutError'
  readonly code = 'LAYOUT_MISMATCH'
  readonly differences: readonly string[]

  constructor(differences: readonly string[]) {
    super(`the compiled datapath does not fit this program; build both again:\n  ${differences.join('\n  ')}`)
    this.differences = differences
  }
}

/** Every way in which the BTF of an object differs from what is expected; none: they fit. */
export function layoutDifferences(btf: Btf, structs: readonly StructShape[], enums: readonly EnumShape[]): string[] {
  return [
    ...structs.flatMap(shape => structDifferences(btf, shape)),
    ...enums.flatMap(shape => enumDifferences(btf, shape)),
  ]
}

/** @throws LayoutError when a constant is missing */
export function readEnum<Name extends string>(btf: Btf, shape: EnumShape<Name>): EnumTable<Name> {
  const differences = enumDifferences(btf, shape)
  if (differences.length > 0) throw new LayoutError(differences)
  const values = btf.enumValues(shape.enumeration)
  const number = Object.fromEntries(shape.names.map(name => [name, values[shape.prefix + name]])) as Record<
    Name,
    number
  >
  const names = new Map(shape.names.map(name => [number[name], name]))
  return {
    number,
    names: shape.names,
    name: value => names.get(value),
    text: value => names.get(value) ?? String(value),
  }
}

function structDifferences(btf: Btf, { struct: name, fields }: StructShape): string[] {
  const type = btf.find(name, 'struct')
  if (!type) return [`struct ${name} is missing`]
  const found = btf.layout(type.id).fields
  const missing = Object.keys(fields).filter(field => !(field in found))
  const unknown = Object.keys(found).filter(field => !(field in fields) && !/^_*pad/.test(field))
  const different = Object.entries(fields).flatMap(([field, kind]) => {
    const layout = found[field]
    const actual = layout && describeKind(btf, layout.typeId)
    const wanted =
      typeof kind === 'string'
        ? kind
        : 'struct' in kind
          ? `struct ${kind.struct}`
          : `array of 2 struct ${kind.pairOf.struct}`
    return actual === undefined || actual === wanted ? [] : [`struct ${name}.${field} is a ${actual}, not a ${wanted}`]
  })
  return [
    ...missing.map(field => `struct ${name} has no field ${field}`),
    ...unknown.map(field => `struct ${name} has a field ${field} that this program does not know`),
    ...different,
  ]
}

function enumDifferences(btf: Btf, { enumeration: name, prefix, names }: EnumShape): string[] {
  if (!btf.find(name, 'enum') && !btf.find(name, 'enum64')) return [`enum ${name} is missing`]
  const known = new Set(names.map(constant => prefix + constant))
  const found = Object.keys(btf.enumValues(name))
  return [
    ...[...known].filter(constant => !found.includes(constant)).map(constant => `enum ${name} has no ${constant}`),
    ...found
      .filter(constant => !known.has(constant))
      .map(constant => `enum ${name} has a ${constant} that this program does not know`),
  ]
}

/** The kind of value that the codec gives for a C type. */
function describeKind(btf: Btf, typeId: number): string {
  const type = btf.resolve(typeId)
  if (type.kind === 'struct') return `struct ${type.name}`
  if (type.kind !== 'array') return scalarKind(type)
  const element = btf.resolve(type.element)
  if (element.kind === 'int' && element.size === 1) return 'bytes'
  if (element.kind === 'struct') return `array of ${type.length} struct ${element.name}`
  const scalar = scalarKind(element)
  if (type.length === 2 && scalar === 'number') return 'pair'
  if (type.length === 2 && scalar === 'bigint') return 'bigint pair'
  return `array of ${type.length} ${scalar}s`
}

function scalarKind(type: BtfType): string {
  if (type.kind === 'int' && type.bool) return 'boolean'
  if (type.kind === 'int' || type.kind === 'enum') return type.size === 8 ? 'bigint' : 'number'
  return type.kind
}
