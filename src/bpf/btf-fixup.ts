// What a linker would do to an object's BTF before the kernel takes it: clang
// leaves the sizes of data sections and the offsets of their variables to
// relocations, and the kernel wants variables in ascending order. Also: a hidden
// function is verified in its callers' context, so its BTF must call it static.

import { type BtfType, parseTypes } from './btf-types.ts'
import type { Elf } from './elf.ts'
import { FormatError } from './errors.ts'

type SectionType = Extract<BtfType, { kind: 'section' }>

/** A corrected copy of the object's `.BTF` section. @throws FormatError */
export function linkedBtf(elf: Elf): Uint8Array {
  const source = elf.section('.BTF')
  if (!source || source.bytes.length === 0) throw new FormatError('the object has no BTF: compile it with -g')
  const types = parseTypes(source.bytes)
  const bytes = source.bytes.slice()
  const view = new DataView(bytes.buffer)
  const symbolByPosition = new Map(elf.relocationsOf(source).map(({ offset, symbol }) => [offset, symbol]))

  for (const type of types) {
    if (type.kind === 'section') fixSection(type, elf, types, view, symbolByPosition)
    if (type.kind === 'function' && type.linkage === 1 && isHidden(elf, type.name))
      view.setUint32(type.position + 4, view.getUint32(type.position + 4, true) & ~0xffff, true)
  }
  return bytes
}

function fixSection(
  type: SectionType,
  elf: Elf,
  types: readonly BtfType[],
  view: DataView,
  symbolByPosition: ReadonlyMap<number, { readonly value: number }>,
): void {
  const section = elf.section(type.name)
  if (!section) return
  if (section.size > 0xffff_ffff) throw new FormatError(`ELF section ${section.name}: absurd size ${section.size}`)
  const alreadyLinked = type.size !== 0
  const variables = type.variables.map(({ type: typeId, offset, size, position }) => {
    const relocated = symbolByPosition.get(position + 4)
    if (relocated) return { typeId, offset: offset + relocated.value, size }
    if (alreadyLinked) return { typeId, offset, size }
    const symbol = elf.symbols.find(
      ({ name, section: index }) => name === types[typeId]?.name && index === section.index,
    )
    return { typeId, offset: symbol?.value ?? offset, size }
  })
  variables.sort((a, b) => a.offset - b.offset)

  view.setUint32(type.position + 8, section.size, true)
  variables.forEach(({ typeId, offset, size }, index) => {
    const at = type.position + 12 + 12 * index
    view.setUint32(at, typeId, true)
    view.setUint32(at + 4, offset, true)
    view.setUint32(at + 8, size, true)
  })
}

const isHidden = (elf: Elf, name: string): boolean =>
  elf.symbols.some(symbol => symbol.kind === 'function' && symbol.name === name && symbol.hidden)
