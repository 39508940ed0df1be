// Reads the imports out of a TypeScript file and judges them by the import rules. Pure: text in, violations out. Static imports,
// `export … from`, `import()` and `import('…')` in types all count, and a type-only import counts like any other: the rules are
// about who has to know whom.

import { isBuiltin } from 'node:module'
import path from 'node:path'
import { parseSync, Visitor } from 'oxc-parser'
import type { ImportRules } from './import-rules.ts'

export type Import = {
  /** What is imported, or undefined when it is computed at run time. */
  readonly specifier: string | undefined
  /** 1-based. */
  readonly line: number
}

export type Violation = {
  readonly file: string
  readonly line: number
  /** What is wrong, and what is allowed. */
  readonly message: string
}

/**
 * @param file path relative to the checkout, such as `src/net/link.ts`
 * @param text its content
 * @returns in the order of lines
 */
export function checkImports(file: string, text: string, rules: ImportRules): Violation[] {
  const area = areaOf(file, rules)
  if (area === undefined) {
    const areas = rules.levels.flat().join(', ')
    return [{ file, line: 1, message: `is in no known area; the areas are ${areas} (scripts/lib/import-rules.ts)` }]
  }
  const importer: Importer = { file, area, isTest: area === 'test' || file.endsWith('.test.ts') }
  return findImports(file, text).flatMap(({ specifier, line }) => {
    const message = judge(importer, specifier, rules)
    return message === undefined ? [] : [{ file, line, message }]
  })
}

type Importer = { readonly file: string; readonly area: string; readonly isTest: boolean }

function judge(importer: Importer, specifier: string | undefined, rules: ImportRules): string | undefined {
  if (specifier === undefined) {
    if (importer.area === 'scripts') return undefined
    return 'imports a path computed at run time, which cannot be checked; write the path as a string'
  }
  if (specifier.startsWith('.'))
    return judgeFile(importer, path.posix.join(path.dirname(importer.file), specifier), rules)
  if (specifier.startsWith('axoneme/'))
    return judgeFile(importer, `src/${specifier.slice('axoneme/'.length)}/index.ts`, rules)
  if (isBuiltin(specifier)) return judgeNodeModule(importer, specifier, rules)
  return judgePackage(importer, specifier, rules)
}

function judgeFile({ file, area, isTest }: Importer, target: string, rules: ImportRules): string | undefined {
  if (target.endsWith('.test.ts') && area !== 'scripts')
    return `imports the test ${target}; share code in a file that is not a test`
  const targetArea = areaOf(target, rules)
  if (targetArea === undefined) {
    const isData = isTest && target.endsWith('.json')
    return isData ? undefined : `imports ${target}, which is in no area`
  }
  if (targetArea === area) return isTest ? undefined : judgeFolder(file, target, rules.folderLevels[area])
  if (rules.extraEdges.some(({ from, to }) => from === area && to === targetArea)) return undefined
  const allowed = allowedAreas(area, rules)
  if (allowed.includes(targetArea)) return undefined
  return `${path.dirname(file)} imports ${target}; ${area} may import ${allowed.join(', ') || 'no other area'}`
}

type FolderLevels = readonly (readonly string[])[]

/** Judges an import inside an area by the order of the area's folders. */
function judgeFolder(file: string, target: string, levels: FolderLevels | undefined): string | undefined {
  if (levels === undefined || file.includes('/testing/')) return undefined
  const [folder, targetFolder] = [folderOf(file), folderOf(target)]
  if (folder === targetFolder || folder === undefined) return undefined
  const level = levels.findIndex(folders => folders.includes(folder))
  if (level < 0) return `is in the folder ${folder}, which is on no level (scripts/lib/import-rules.ts)`
  const allowed = levels.slice(0, level).flat()
  if (targetFolder !== undefined && allowed.includes(targetFolder)) return undefined
  return `imports ${target}; ${folder} may import ${allowed.join(', ') || 'no other folder'}`
}

/** @returns the folder inside its area that a file of `src` is in; undefined for a file directly in the area */
function folderOf(file: string): string | undefined {
  const [, , third, fourth] = file.split('/')
  return fourth === undefined ? undefined : third
}

function judgeNodeModule({ area, isTest }: Importer, specifier: string, rules: ImportRules): string | undefined {
  if (isTest) return undefined
  if (rules.pureAreas.includes(area))
    return `imports ${specifier}; ${area} is pure and may import no module of Node (its tests may)`
  const name = specifier.replace(/^node:/, '').split('/')[0] ?? ''
  if (!rules.inputOutputModules.includes(name) || rules.inputOutputAreas.includes(area)) return undefined
  return `imports ${specifier}; ${area} does no input or output, only ${rules.inputOutputAreas.join(', ')} do`
}

function judgePackage({ area }: Importer, specifier: string, rules: ImportRules): string | undefined {
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
  const owners = Object.hasOwn(rules.packageOwners, name) ? rules.packageOwners[name] : undefined
  if (owners === undefined || owners.includes(area)) return undefined
  return `imports the package ${name}; only ${owners.join(', ')} may`
}

/** The areas that `area` may import by the order of levels, lowest first, without the extra edges. */
export function allowedAreas(area: string, rules: ImportRules): readonly string[] {
  const only = Object.hasOwn(rules.onlyFrom, area) ? rules.onlyFrom[area] : undefined
  return (
    only ??
    rules.levels
      .slice(
        0,
        rules.levels.findIndex(level => level.includes(area)),
      )
      .flat()
  )
}

/** @returns the folder of `src`, or `test`, `bench`, `scripts`; undefined for a file elsewhere, directly in `src`, or in no declared area */
function areaOf(file: string, rules: ImportRules): string | undefined {
  const [top, second, third] = file.split('/')
  const area = top === 'src' ? (third === undefined ? undefined : second) : top
  return rules.levels.flat().find(declared => declared === area)
}

/** @throws Error when the file does not parse */
export function findImports(file: string, text: string): Import[] {
  const { program, module, errors } = parseSync(file, text)
  const [error] = errors
  if (error) throw new Error(`${file}: ${error.message}`)
  const found: { start: number; specifier: string | undefined }[] = []
  for (const { start, moduleRequest } of module.staticImports) found.push({ start, specifier: moduleRequest.value })
  for (const { start, entries } of module.staticExports) {
    const specifier = entries.find(entry => entry.moduleRequest)?.moduleRequest?.value
    if (specifier !== undefined) found.push({ start, specifier })
  }
  new Visitor({
    ImportExpression: ({ start, source }) => found.push({ start, specifier: stringOf(source) }),
    TSImportType: ({ start, source }) => found.push({ start, specifier: stringOf(source) }),
  }).visit(program)
  return found
    .toSorted((a, b) => a.start - b.start)
    .map(({ start, specifier }) => ({ specifier, line: text.slice(0, start).split('\n').length }))
}

function stringOf(node: { readonly type: string; readonly value?: unknown }): string | undefined {
  return node.type === 'Literal' && typeof node.value === 'string' ? node.value : undefined
}
