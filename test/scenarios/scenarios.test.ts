// Plays every scenario of this folder and holds what it shows against what is written.
// To write down what it shows now, and then to read the difference:
//
//   node test/scenarios/scenarios.test.ts --update          or AXONEME_UPDATE=1 npm run check

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { play } from './scenario.ts'
import { SimulatedNode } from './simulated-node.ts'

const FOLDER = new URL('.', import.meta.url)
const UPDATE = process.argv.includes('--update') || process.env['AXONEME_UPDATE'] === '1'

for (const name of fs.readdirSync(FOLDER).filter(name => name.endsWith('.txt')))
  test(`scenario ${name.replace(/\.txt$/, '')}`, async () => {
    const file = new URL(name, FOLDER)
    const written = fs.readFileSync(file, 'utf8')
    const [, options = '{}'] = /^#! node (\{.*\})$/m.exec(written) ?? []
    await using node = await SimulatedNode.start(JSON.parse(options) as Parameters<typeof SimulatedNode.start>[0])
    const shown = await play(written, node)
    if (UPDATE && shown !== written) fs.writeFileSync(file, shown)
    else assert.equal(shown, written, `${name} shows something else; see the top of this file for how to update it`)
  })
