// Two rules about text: a source file opens with a comment that says what it is for, and a link in a document leads somewhere.
// Pure: text in, problems out.

import path from 'node:path'

export type TextProblem = { readonly file: string; readonly line: number; readonly message: string }

/** Shorter than this is a label, not a statement of purpose. */
const SHORTEST_HEADER_CHARACTERS = 30

/**
 * @param text of a TypeScript, JavaScript or C file
 * @returns at most one problem
 */
export function checkHeader(file: string, text: string): TextProblem[] {
  const body = text.replace(/^#!.*\n/, '').replace(/^(\/\/|\/\*) SPDX-License-Identifier:.*\n/, '')
  const comment = /^\s*((?:\/\/.*\n)+|\/\*[^]*?\*\/)/.exec(body)?.[1] ?? ''
  const words = comment
    .replace(/^[\s/*]+|\*\/$/gm, ' ')
    .replace(/\s+/g, ' ')
    .trim()
  if (words.length >= SHORTEST_HEADER_CHARACTERS) return []
  return [
    {
      file,
      line: 1,
      message:
        'does not open with a comment that says what the file is for, what it promises and what it leaves to others',
    },
  ]
}

/**
 * Checks the relative links of a Markdown document, and their anchors where they lead to a document.
 * @param readDocument text of a document, or undefined when there is no such file; '' for a folder or a file of another kind
 */
export function checkLinks(
  file: string,
  text: string,
  readDocument: (path: string) => string | undefined,
): TextProblem[] {
  return findLinks(text).flatMap(({ target, line }) => {
    if (/^[a-z][a-z0-9+.-]*:/i.test(target) || target.startsWith('//')) return []
    const [address = '', anchor] = target.split('#')
    const destination = address === '' ? file : path.posix.join(path.posix.dirname(file), decodeURIComponent(address))
    if (destination.startsWith('..')) return [{ file, line, message: `links to ${target}, outside the repository` }]
    const content = destination === file ? text : readDocument(destination)
    if (content === undefined) return [{ file, line, message: `links to ${target}, which is not there` }]
    if (!anchor || !destination.endsWith('.md') || findAnchors(content).has(anchor.toLowerCase())) return []
    return [{ file, line, message: `links to ${target}, but ${destination} has no such heading` }]
  })
}

type Link = { readonly target: string; readonly line: number }

function findLinks(text: string): Link[] {
  return withoutCode(text)
    .split('\n')
    .flatMap((content, index) => {
      const inline = [...content.matchAll(/\]\(\s*<?([^\s)>]+)>?(?:\s+"[^"]*")?\s*\)/g)]
      const reference = [...content.matchAll(/^\s{0,3}\[[^\]]+\]:\s*<?([^\s>]+)/g)]
      return [...inline, ...reference].map(([, target = '']) => ({ target, line: index + 1 }))
    })
}

/** Anchors as GitHub makes them from headings. */
function findAnchors(text: string): Set<string> {
  const headings = [...withoutFences(text).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)].map(([, heading = '']) => heading)
  const seen = new Map<string, number>()
  return new Set(
    headings.map(heading => {
      const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      const anchor = plain
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replace(/\s/g, '-')
      const count = seen.get(anchor) ?? 0
      seen.set(anchor, count + 1)
      return count === 0 ? anchor : `${anchor}-${count}`
    }),
  )
}

/** Blanks code out, keeping the lines, since what looks like a link in code is none. */
const withoutCode = (text: string): string => withoutFences(text).replace(/`[^`\n]*`/g, '')

const withoutFences = (text: string): string =>
  text.replace(/^( {0,3})(```+|~~~+)[^]*?^\s*\2/gm, block => block.replace(/[^\n]/g, ''))
