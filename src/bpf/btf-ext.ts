// Reads `.BTF.ext`: which BTF function type starts at which instruction, and
// which C line an instruction comes from. Refuses CO-RE relocations, which ask
// the loader to adapt the program to the running kernel's types.
// Source: Documentation/bpf/btf.rst, "The .BTF.ext section".

import { ByteReader } from './bytes.ts'
import type { Elf } from './elf.ts'
import { FormatError } from './errors.ts'

/** A function's code and where it stands in the assembled program, in bytes. */
export type PlacedCode = {
  readonly section: string
  readonly start: number
  readonly size: number
  readonly base: number
}

export type BtfExtensions = {
  functionInfo(pieces: readonly PlacedCode[]): Uint8Array
  lineInfo(pieces: readonly PlacedCode[]): Uint8Array
}

export const FUNCTION_INFO_RECORD = 8
export const LINE_INFO_RECORD = 16
const INSTRUCTION = 8

type InfoRecord = { readonly section: string; readonly offset: number; readonly bytes: Uint8Array }

/** @throws FormatError */
export function readExtensions(elf: Elf): BtfExtensions {
  const section = elf.section('.BTF.ext')
  const strings = elf.section('.BTF')
  if (!section || !strings) return { functionInfo: () => new Uint8Array(0), lineInfo: () => new Uint8Array(0) }
  const reader = new ByteReader(section.bytes, '.BTF.ext')
  const btf = new ByteReader(strings.bytes, 'BTF')
  if (reader.u16(0) !== 0xeb9f) throw new FormatError('.BTF.ext of unknown byte order')
  const header = reader.u32(4)
  const nameAt = (offset: number): string => btf.text(btf.u32(4) + btf.u32(16) + offset)
  const table = (at: number, width: number): InfoRecord[] =>
    readRecords(reader, header + reader.u32(at), reader.u32(at + 4), width, nameAt)

  if (header >= 32 && readRecords(reader, header + reader.u32(24), reader.u32(28), 16, nameAt).length > 0)
    throw new FormatError('the object has CO-RE relocations; use only UAPI types, or keep vmlinux.h out')
  const functions = table(8, FUNCTION_INFO_RECORD)
  const lines = table(16, LINE_INFO_RECORD)
  return {
    functionInfo: pieces => moved(functions, pieces, FUNCTION_INFO_RECORD),
    lineInfo: pieces => moved(lines, pieces, LINE_INFO_RECORD),
  }
}

function readRecords(
  reader: ByteReader,
  start: number,
  length: number,
  width: number,
  nameAt: (offset: number) => string,
): InfoRecord[] {
  if (length === 0) return []
  const recordSize = reader.u32(start)
  if (recordSize < width) throw new FormatError(`.BTF.ext: records of ${recordSize} bytes, at least ${width} expected`)
  const records: InfoRecord[] = []
  for (let at = start + 4; at < start + length; ) {
    const section = nameAt(reader.u32(at))
    const count = reader.u32(at + 4)
    at += 8
    for (let index = 0; index < count; index++, at += recordSize)
      records.push({ section, offset: reader.u32(at), bytes: reader.slice(at, width) })
  }
  return records
}

/** The records of the placed pieces, their instruction offsets counted in the assembled program. */
function moved(records: readonly InfoRecord[], pieces: readonly PlacedCode[], width: number): Uint8Array {
  const chosen = pieces.flatMap(({ section, start, size, base }) =>
    records
      .filter(record => record.section === section && record.offset >= start && record.offset < start + size)
      .map(record => ({ bytes: record.bytes, instruction: (base + record.offset - start) / INSTRUCTION })),
  )
  const table = new Uint8Array(chosen.length * width)
  const view = new DataView(table.buffer)
  chosen.forEach(({ bytes, instruction }, index) => {
    table.set(bytes, index * width)
    view.setUint32(index * width, instruction, true)
  })
  return table
}
