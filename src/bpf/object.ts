// The Spec side of the library: a compiled BPF object as a description. Bytes in,
// plain facts out: maps, programs ready to be loaded, variables to configure.
// Pure: touches no kernel. Loading it into one is load.ts.

import { assembleProgram, isDataSection, type ProgramImage } from './assemble.ts'
import { Btf } from './btf.ts'
import { readExtensions } from './btf-ext.ts'
import { linkedBtf } from './btf-fixup.ts'
import { MAP_FLAG } from './constants.ts'
import { type Elf, type ElfSection, type ElfSymbol, readElf } from './elf.ts'
import { FormatError } from './errors.ts'
import { type MapSpec, readMapSpec } from './map-spec.ts'
import { type SectionKind, sectionKind } from './sections.ts'

export type { MapSpec } from './map-spec.ts'

export type ProgramSpec = SectionKind & {
  readonly name: string
  readonly section: string
  readonly image: ProgramImage
}

/** A global variable: `const volatile` ones stand in `.rodata` and can be given a value at load. */
export type VariableSpec = {
  readonly name: string
  readonly section: string
  readonly typeId: number
  readonly offset: number
  readonly size: number
}

/** `.rodata`, `.data` or `.bss` and their like: the kernel keeps each as an array map of one entry. */
export type DataSection = {
  readonly map: MapSpec
  readonly content: Uint8Array
  readonly readOnly: boolean
}

export type ObjectSpec = {
  readonly btf: Btf
  readonly license: string
  readonly maps: ReadonlyMap<string, MapSpec>
  readonly programs: ReadonlyMap<string, ProgramSpec>
  readonly variables: ReadonlyMap<string, VariableSpec>
  readonly dataSections: ReadonlyMap<string, DataSection>
}

/** Larger than any sane configuration; keeps a broken object from asking for all memory. */
const MAX_DATA_SECTION = 1 << 26

/** @throws FormatError for anything that is not an object this library can load */
export function parseObject(bytes: Uint8Array): ObjectSpec {
  const elf = readElf(bytes)
  const btf = new Btf(linkedBtf(elf))
  const mapNames = new Map<number, string>()
  const maps = new Map<string, MapSpec>()
  for (const { name, target, offset } of variablesOf(btf, '.maps')) {
    maps.set(name, readMapSpec(btf, name, target))
    mapNames.set(offset, name)
  }
  const mapsSection = elf.section('.maps')
  if (mapsSection && elf.relocationsOf(mapsSection).length > 0)
    throw new FormatError('maps with initial values are not supported: fill them at run time')

  return {
    btf,
    license: readLicense(elf),
    maps,
    programs: readPrograms(elf, offset => mapNames.get(offset)),
    variables: readVariables(elf, btf),
    dataSections: readDataSections(elf, btf),
  }
}

function variablesOf(btf: Btf, section: string) {
  return (btf.find(section, 'section')?.variables ?? []).map(({ type, offset, size }) => {
    const variable = btf.type(type)
    if (variable.kind !== 'variable') throw new FormatError(`BTF section ${section} lists a ${variable.kind}`)
    return { name: variable.name, target: variable.target, offset, size }
  })
}

function readLicense(elf: Elf): string {
  const section = elf.section('license')
  if (!section) throw new FormatError('the object declares no license: char LICENSE[] SEC("license") = "…"')
  return new TextDecoder().decode(section.bytes).replace(/\0.*$/s, '')
}

function readPrograms(elf: Elf, mapAt: (offset: number) => string | undefined): Map<string, ProgramSpec> {
  const extensions = readExtensions(elf)
  const programs = new Map<string, ProgramSpec>()
  for (const symbol of elf.symbols) {
    const section = elf.sections[symbol.section]
    if (!section || !isProgram(symbol, section)) continue
    const kind = sectionKind(section.name)
    if (!kind)
      throw new FormatError(`program ${symbol.name}: section name "${section.name}" is of no known program type`)
    const image = assembleProgram(elf, extensions, symbol, mapAt)
    programs.set(symbol.name, { ...kind, name: symbol.name, section: section.name, image })
  }
  return programs
}

/** Functions in .text and static ones are subprograms: they come along with whoever calls them. */
const isProgram = (symbol: ElfSymbol, section: ElfSection): boolean =>
  symbol.kind === 'function' && !symbol.local && section.executable && section.name !== '.text'

function readVariables(elf: Elf, btf: Btf): Map<string, VariableSpec> {
  const variables = new Map<string, VariableSpec>()
  for (const section of elf.sections.filter(({ name }) => isDataSection(name)))
    for (const { name, target, offset } of variablesOf(btf, section.name))
      variables.set(name, { name, section: section.name, typeId: target, offset, size: btf.sizeOf(target) })
  return variables
}

function readDataSections(elf: Elf, btf: Btf): Map<string, DataSection> {
  const sections = new Map<string, DataSection>()
  for (const section of elf.sections) {
    if (!isDataSection(section.name) || section.size === 0) continue
    if (section.size > MAX_DATA_SECTION) throw new FormatError(`section ${section.name}: absurd size ${section.size}`)
    const readOnly = section.name.startsWith('.rodata')
    const type = btf.find(section.name, 'section')
    const map: MapSpec = {
      name: section.name,
      type: 'array',
      keySize: 4,
      valueSize: section.size,
      maxEntries: 1,
      flags: readOnly ? MAP_FLAG.RDONLY_PROG : 0,
      pinByName: false,
      btf,
      ...(type ? { valueType: type.id } : {}),
    }
    const content = new Uint8Array(section.size)
    content.set(section.bytes)
    sections.set(section.name, { map, content, readOnly })
  }
  return sections
}
