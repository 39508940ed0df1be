// Puts one program together from its object: its own instructions, then every
// function it calls or passes as a callback, with calls resolved, references to
// maps noted for the loader, and function and line information moved along.
// Pure: what depends on the running kernel (map descriptors) stays a list of references.
// Source: Documentation/bpf/llvm_reloc.rst of Linux.

import type { BtfExtensions } from './btf-ext.ts'
import { ByteReader } from './bytes.ts'
import type { Elf, ElfSection, ElfSymbol } from './elf.ts'
import { FormatError } from './errors.ts'

/** An instruction that wants a map's descriptor: of a declared map, or of the map that holds a data section. */
export type MapReference = { readonly offset: number; readonly map: string }

export type ProgramImage = {
  readonly instructions: Uint8Array
  readonly mapReferences: readonly MapReference[]
  /** `struct bpf_func_info[]`, records of 8 bytes. */
  readonly functionInfo: Uint8Array
  /** `struct bpf_line_info[]`, records of 16 bytes. */
  readonly lineInfo: Uint8Array
}

const INSTRUCTION = 8
const OP_CALL = 0x85
const OP_LOAD_64 = 0x18
const PSEUDO_CALL = 1
const PSEUDO_MAP_FD = 1
const PSEUDO_MAP_VALUE = 2
const PSEUDO_KFUNC_CALL = 2
const PSEUDO_FUNC = 4
const MAX_BYTES = 1_000_000 * INSTRUCTION

export const isDataSection = (name: string): boolean => /^\.(rodata|data|bss)(\.|$)/.test(name)

type Piece = {
  readonly section: ElfSection
  readonly symbol: ElfSymbol
  readonly base: number
  readonly code: Uint8Array
}
type Call = { readonly at: number; readonly section: ElfSection; readonly offset: number }

/** @param mapAt name of the map declared at an offset of `.maps` @throws FormatError */
export function assembleProgram(
  elf: Elf,
  extensions: BtfExtensions,
  entry: ElfSymbol,
  mapAt: (offset: number) => string | undefined,
): ProgramImage {
  const pieces: Piece[] = []
  const baseOf = new Map<ElfSymbol, number>()
  const mapReferences: MapReference[] = []
  const calls: (Call & { readonly target: ElfSymbol })[] = []
  let length = 0

  // Functions are placed in the order they are found, so that info records stay in ascending order.
  const waiting = [entry]
  for (let symbol = waiting.shift(); symbol; symbol = waiting.shift()) {
    if (baseOf.has(symbol)) continue
    const piece = cut(elf, symbol, length)
    pieces.push(piece)
    baseOf.set(symbol, length)
    length += piece.code.length
    if (length > MAX_BYTES) throw new FormatError(`program ${entry.name} is longer than a million instructions`)
    const found = relocate(elf, piece, mapAt)
    mapReferences.push(...found.mapReferences)
    for (const call of found.calls) {
      const target = functionAt(elf, call.section, call.offset)
      calls.push({ ...call, target })
      waiting.push(target)
    }
  }

  const instructions = new Uint8Array(length)
  for (const { code, base } of pieces) instructions.set(code, base)
  const view = new DataView(instructions.buffer)
  for (const { at, target } of calls) {
    const distance = ((baseOf.get(target) ?? 0) - at) / INSTRUCTION - 1
    view.setInt32(at + 4, distance, true)
  }
  return {
    instructions,
    mapReferences,
    functionInfo: extensions.functionInfo(pieces.map(placed)),
    lineInfo: extensions.lineInfo(pieces.map(placed)),
  }
}

const placed = ({ section, symbol, base }: Piece) => ({
  section: section.name,
  start: symbol.value,
  size: symbol.size,
  base,
})

function cut(elf: Elf, symbol: ElfSymbol, base: number): Piece {
  const section = elf.sections[symbol.section]
  if (!section?.executable) throw new FormatError(`function ${symbol.name} has no code in this object`)
  if (symbol.size === 0 || symbol.size % INSTRUCTION !== 0 || symbol.value % INSTRUCTION !== 0)
    throw new FormatError(`function ${symbol.name} is not whole instructions`)
  const code = new ByteReader(section.bytes, `section ${section.name}`).slice(symbol.value, symbol.size).slice()
  return { section, symbol, base, code }
}

function functionAt(elf: Elf, section: ElfSection, offset: number): ElfSymbol {
  const symbol = elf.symbols.find(
    ({ kind, section: index, value }) => kind === 'function' && index === section.index && value === offset,
  )
  if (!symbol) throw new FormatError(`no function at ${section.name}+${offset}`)
  return symbol
}

/** Finds what a piece refers to; patches what is known already. */
function relocate(elf: Elf, piece: Piece, mapAt: (offset: number) => string | undefined) {
  const { section, symbol, base, code } = piece
  const relocations = new Map(elf.relocationsOf(section).map(relocation => [relocation.offset, relocation.symbol]))
  const view = new DataView(code.buffer, code.byteOffset, code.byteLength)
  const mapReferences: MapReference[] = []
  const calls: Call[] = []
  const setSource = (at: number, pseudo: number): void =>
    view.setUint8(at + 1, (view.getUint8(at + 1) & 15) | (pseudo << 4))

  for (let at = 0; at < code.length; at += INSTRUCTION) {
    const opcode = view.getUint8(at)
    const source = view.getUint8(at + 1) >> 4
    const immediate = view.getInt32(at + 4, true)
    const target = relocations.get(symbol.value + at)
    const targetSection = target ? definingSection(elf, target) : section

    if (opcode === OP_CALL && source === PSEUDO_KFUNC_CALL)
      throw new FormatError(`function ${symbol.name} calls a kernel function; this loader resolves none`)
    if (opcode === OP_CALL && source === PSEUDO_CALL) {
      const from = target ? target.value : symbol.value + at
      calls.push({ at: base + at, section: targetSection, offset: from + (immediate + 1) * INSTRUCTION })
    }
    if (opcode !== OP_LOAD_64) continue
    if (at + INSTRUCTION >= code.length) throw new FormatError(`function ${symbol.name} ends in half an instruction`)
    if (target) {
      if (targetSection.name === '.maps') {
        const map = mapAt(target.value + (target.kind === 'section' ? immediate : 0))
        if (map === undefined)
          throw new FormatError(`function ${symbol.name} refers to no map at .maps+${target.value}`)
        setSource(at, PSEUDO_MAP_FD)
        view.setInt32(at + 4, 0, true)
        mapReferences.push({ offset: base + at, map })
      } else if (isDataSection(targetSection.name)) {
        setSource(at, PSEUDO_MAP_VALUE)
        view.setUint32(at + INSTRUCTION + 4, target.value + immediate, true)
        mapReferences.push({ offset: base + at, map: targetSection.name })
      } else if (targetSection.executable) {
        setSource(at, PSEUDO_FUNC)
        calls.push({ at: base + at, section: targetSection, offset: target.value + immediate })
      } else throw new FormatError(`function ${symbol.name} refers to section ${targetSection.name}`)
    }
    at += INSTRUCTION
  }
  return { mapReferences, calls }
}

function definingSection(elf: Elf, symbol: ElfSymbol): ElfSection {
  const section = symbol.section === 0 ? undefined : elf.sections[symbol.section]
  if (!section) throw new FormatError(`symbol ${symbol.name} is not defined in this object`)
  return section
}
