// Reads the parts of an ELF64 relocatable file that a BPF object is made of:
// sections, symbols, relocations. Pure; malformed input is a FormatError.
// What the sections mean is object.ts's business.
// Source: System V ABI, "Object Files"; LLVM's BPF relocation types.

import { ByteReader } from './bytes.ts'
import { FormatError } from './errors.ts'

export type ElfSection = {
  readonly index: number
  readonly name: string
  readonly type: number
  readonly executable: boolean
  /** Size in memory; `bytes` is empty for a section without content in the file, such as .bss. */
  readonly size: number
  readonly link: number
  readonly info: number
  readonly bytes: Uint8Array
}

export type ElfSymbol = {
  readonly name: string
  readonly kind: 'function' | 'object' | 'section' | 'other'
  readonly local: boolean
  readonly hidden: boolean
  /** Index of its section; 0 for an undefined symbol. */
  readonly section: number
  readonly value: number
  readonly size: number
}

export type ElfRelocation = { readonly offset: number; readonly symbol: ElfSymbol }

export type Elf = {
  readonly sections: readonly ElfSection[]
  readonly symbols: readonly ElfSymbol[]
  section(name: string): ElfSection | undefined
  /** Relocations to apply to a section, in the order of the file. */
  relocationsOf(section: ElfSection): readonly ElfRelocation[]
}

const EM_BPF = 247
const ET_REL = 1
const SHT_SYMTAB = 2
const SHT_NOBITS = 8
const SHT_REL = 9
const SHF_EXECINSTR = 4
const SECTION_HEADER = 64
const SYMBOL = 24
const RELOCATION = 16
const SYMBOL_KINDS: Readonly<Record<number, ElfSymbol['kind']>> = { 1: 'object', 2: 'function', 3: 'section' }

/** @throws FormatError */
export function readElf(bytes: Uint8Array): Elf {
  const file = new ByteReader(bytes, 'ELF file')
  requireBpfObject(file)
  const sections = readSections(file)
  const symbols = readSymbols(sections)
  const byName = new Map(sections.map(section => [section.name, section]))
  const relocations = new Map<number, readonly ElfRelocation[]>()
  for (const section of sections)
    if (section.type === SHT_REL) relocations.set(section.info, readRelocations(section, symbols))
  return {
    sections,
    symbols,
    section: name => byName.get(name),
    relocationsOf: section => relocations.get(section.index) ?? [],
  }
}

function requireBpfObject(file: ByteReader): void {
  if (file.length < 64 || file.u32(0) !== 0x464c457f) throw new FormatError('not an ELF file')
  if (file.u8(4) !== 2 || file.u8(5) !== 1) throw new FormatError('not a 64-bit little-endian ELF file')
  if (file.u16(18) !== EM_BPF) throw new FormatError(`an ELF file for machine ${file.u16(18)}, not for BPF`)
  if (file.u16(16) !== ET_REL) throw new FormatError('not a relocatable object')
}

function readSections(file: ByteReader): ElfSection[] {
  const start = file.size(40)
  const count = file.u16(60)
  const namesIndex = file.u16(62)
  if (file.u16(58) !== SECTION_HEADER) throw new FormatError('ELF section headers of unknown size')
  if (namesIndex >= count) throw new FormatError('ELF file without section names')
  const header = (index: number): number => start + index * SECTION_HEADER
  const content = (at: number): Uint8Array => file.slice(file.size(at + 24), file.size(at + 32))
  const names = new ByteReader(content(header(namesIndex)), 'ELF section names')

  return Array.from({ length: count }, (_, index) => {
    const at = header(index)
    const type = file.u32(at + 4)
    const empty = type === SHT_NOBITS || index === 0
    return {
      index,
      name: index === 0 ? '' : names.text(file.u32(at)),
      type,
      executable: (file.u32(at + 8) & SHF_EXECINSTR) !== 0,
      size: file.size(at + 32),
      link: file.u32(at + 40),
      info: file.u32(at + 44),
      bytes: empty ? new Uint8Array(0) : content(at),
    }
  })
}

function readSymbols(sections: readonly ElfSection[]): ElfSymbol[] {
  const table = sections.find(section => section.type === SHT_SYMTAB)
  if (!table) throw new FormatError('ELF file without a symbol table')
  const strings = sections[table.link]
  if (!strings) throw new FormatError('ELF symbol table without names')
  const names = new ByteReader(strings.bytes, 'ELF symbol names')
  const entries = new ByteReader(table.bytes, 'ELF symbol table')

  return Array.from({ length: Math.floor(entries.length / SYMBOL) }, (_, index) => {
    const at = index * SYMBOL
    const info = entries.u8(at + 4)
    const visibility = entries.u8(at + 5) & 3
    return {
      name: names.text(entries.u32(at)),
      kind: SYMBOL_KINDS[info & 15] ?? 'other',
      local: info >> 4 === 0,
      hidden: visibility === 1 || visibility === 2,
      section: entries.u16(at + 6),
      value: entries.size(at + 8),
      size: entries.size(at + 16),
    }
  })
}

function readRelocations(section: ElfSection, symbols: readonly ElfSymbol[]): ElfRelocation[] {
  const entries = new ByteReader(section.bytes, `ELF section ${section.name}`)
  return Array.from({ length: Math.floor(entries.length / RELOCATION) }, (_, index) => {
    const at = index * RELOCATION
    const symbol = symbols[entries.u32(at + 12)]
    if (!symbol) throw new FormatError(`ELF section ${section.name}: relocation ${index} names no symbol`)
    return { offset: entries.size(at), symbol }
  })
}
