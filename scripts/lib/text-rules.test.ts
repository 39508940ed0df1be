// The rules about text must be able to fail: headers that say nothing, links that lead nowhere.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkHeader, checkLinks } from './text-rules.ts'

const headers: readonly { name: string; text: string; passes: boolean }[] = [
  {
    name: 'two lines of comment',
    text: '// What this file is for, and what\n// it promises to its callers.\n\nx()\n',
    passes: true,
  },
  { name: 'a block comment', text: '/*\n * What this file is for, and what it promises.\n */\n', passes: true },
  {
    name: 'after a hash-bang',
    text: '#!/usr/bin/env node\n// What this file is for, and what it promises.\n',
    passes: true,
  },
  {
    name: 'after a licence line',
    text: '/* SPDX-License-Identifier: X */\n/* What this file is for and what it promises. */\n',
    passes: true,
  },
  {
    name: 'a licence line alone',
    text: '/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */\n#include <a.h>\n',
    passes: false,
  },
  { name: 'no comment', text: "import a from 'a'\n// What this file is for, and what it promises.\n", passes: false },
  { name: 'a label', text: '// helpers\nx()\n', passes: false },
  { name: 'nothing', text: '', passes: false },
]

for (const { name, text, passes } of headers) {
  test(`header: ${name}`, () => assert.equal(checkHeader('a.ts', text).length, passes ? 0 : 1))
}

const DOCUMENTS: Readonly<Record<string, string>> = {
  'docs/guide.md': '# The `guide`: a start\n\n## Twice\n\n## Twice\n\n```\n# not a heading\n```\n',
  'docs/picture.png': '',
  LICENSE: '',
}

const links: readonly { name: string; text: string; want: RegExp | 'passes' }[] = [
  { name: 'to a file', text: '[a](guide.md)', want: 'passes' },
  { name: 'up and to a file', text: '[a](../LICENSE)', want: 'passes' },
  { name: 'of a picture', text: '![a](picture.png "title")', want: 'passes' },
  { name: 'to a missing file', text: 'one\ntwo [a](guid.md)', want: /guid\.md, which is not there/ },
  { name: 'out of the repository', text: '[a](../../elsewhere.md)', want: /outside/ },
  { name: 'to a heading', text: '[a](guide.md#the-guide-a-start)', want: 'passes' },
  { name: 'to the second of two headings', text: '[a](guide.md#twice-1)', want: 'passes' },
  { name: 'to a missing heading', text: '[a](guide.md#not-a-heading)', want: /no such heading/ },
  { name: 'to a heading of its own', text: '# Here\n[a](#here)', want: 'passes' },
  { name: 'to a missing heading of its own', text: '# Here\n[a](#there)', want: /no such heading/ },
  { name: 'by reference', text: '[a]: gone.md', want: /not there/ },
  { name: 'to the web', text: '[a](https://example.org/x.md) <mailto:a@b>', want: 'passes' },
  { name: 'in code', text: '`[a](gone.md)`\n\n```\n[a](gone.md)\n```\n', want: 'passes' },
]

for (const { name, text, want } of links) {
  test(`link ${name}`, () => {
    const messages = checkLinks('docs/index.md', text, file => DOCUMENTS[file]).map(({ message }) => message)
    if (want === 'passes') assert.deepEqual(messages, [])
    else assert.match(messages.join('\n'), want)
  })
}

test('a broken link is told with its line', () => {
  assert.deepEqual(
    checkLinks('docs/index.md', '```\nx\n```\n\n[a](gone.md)', () => undefined).map(({ line }) => line),
    [5],
  )
})
