// The public exports of a module with what their docstrings say, read from the sources:
// for the reference in docs/policy-api.md and the test that holds it true.

import { type Comment, type Directive, parseSync, type Statement } from 'oxc-parser'

export type PublicExport = {
  readonly name: string
  readonly kind: 'class' | 'constant' | 'function' | 'type'
  /** Of its docstring; undefined where it has none. */
  readonly summary: string | undefined
  /** Its URL. */
  readonly file: string
}

/** The text of the file at a URL. */
export type Read = (file: string) => string

/** What a module exports, its own and from other modules, by name. */
export function publicExports(file: string, read: Read): Map<string, PublicExport> {
  const source = read(file)
  const { program, comments } = parseSync(file, source)
  const found = new Map<string, PublicExport>()
  const other = (from: string): Map<string, PublicExport> => publicExports(new URL(from, file).href, read)
  for (const statement of program.body) {
    if (statement.type === 'ExportAllDeclaration')
      for (const [name, item] of other(statement.source.value)) found.set(name, item)
    if (statement.type !== 'ExportNamedDeclaration') continue
    if (statement.source)
      for (const { local } of statement.specifiers) {
        const name = 'name' in local ? local.name : local.value
        const item = other(statement.source.value).get(name)
        if (item) found.set(name, item)
      }
    const summary = summaryBefore(source, comments, statement.start)
    for (const [name, kind] of declared(statement.declaration)) found.set(name, { name, kind, summary, file })
  }
  return found
}

/** The first sentence of what a file says of itself. */
export function headerOf(file: string, read: Read): string {
  const lines = read(file).split('\n')
  const end = lines.findIndex(line => !line.startsWith('//'))
  return firstSentence(
    lines
      .slice(0, end)
      .map(line => line.slice(2).trim())
      .join(' '),
  )
}

type Declaration = Extract<Statement | Directive, { readonly type: 'ExportNamedDeclaration' }>['declaration']

function declared(declaration: Declaration): [string, PublicExport['kind']][] {
  switch (declaration?.type) {
    case 'FunctionDeclaration':
    case 'ClassDeclaration':
      return declaration.id
        ? [[declaration.id.name, declaration.type === 'ClassDeclaration' ? 'class' : 'function']]
        : []
    case 'TSTypeAliasDeclaration':
    case 'TSInterfaceDeclaration':
      return [[declaration.id.name, 'type']]
    case 'VariableDeclaration':
      return declaration.declarations.flatMap(({ id, init }): [string, PublicExport['kind']][] =>
        id.type === 'Identifier' ? [[id.name, init?.type === 'ArrowFunctionExpression' ? 'function' : 'constant']] : [],
      )
    default:
      return []
  }
}

function summaryBefore(source: string, comments: readonly Comment[], start: number): string | undefined {
  const comment = comments.findLast(({ end }) => end <= start)
  if (!comment?.value.startsWith('*') || source.slice(comment.end, start).trim() !== '') return undefined
  const text = comment.value
    .slice(1)
    .split('\n')
    .map(line => line.replace(/^\s*\*\s?/, '').trim())
    .join(' ')
    .replace(/(^|\s)@\w+.*$/, '')
    .trim()
  return text === '' ? undefined : firstSentence(text)
}

/** Up to the first full stop that ends a sentence, code in it left whole. */
function firstSentence(text: string): string {
  const sentence = /^.*?[.!?](?=\s+[A-Z`]|$)/.exec(text)?.[0] ?? text
  return sentence.replace(/[.:]$/, '')
}
