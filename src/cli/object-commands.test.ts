// `apply`, `delete` and `get` on a folder of their own, without a sandbox, an agent or
// root: what is stored, what is refused, and what is said of it.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { Command } from 'commander'
import { applyCommand, deleteCommand, getCommand } from './object-commands.ts'

type Outcome = { readonly out: readonly string[]; readonly err: readonly string[]; readonly code: number }

/** A folder for objects, one for files, and the command line over them. */
function started(t: TestContext) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-objects-'))
  const objects = path.join(folder, 'objects')
  fs.mkdirSync(objects)
  t.after(() => fs.rmSync(folder, { recursive: true }))
  const out: string[] = []
  const err: string[] = []
  t.mock.method(console, 'log', (line: string) => out.push(...line.split('\n')))
  t.mock.method(console, 'error', (line: string) => err.push(...line.split('\n')))
  return {
    objects,
    write: (name: string, text: string): string => {
      const file = path.join(folder, name)
      fs.mkdirSync(path.dirname(file), { recursive: true })
      fs.writeFileSync(file, text)
      return file
    },
    run: async (...args: readonly string[]): Promise<Outcome> => {
      const program = new Command().addCommand(applyCommand()).addCommand(deleteCommand()).addCommand(getCommand())
      const before = process.exitCode
      try {
        process.exitCode = 0
        await program.parseAsync([...args, '--objects', objects], { from: 'user' })
        return { out: out.splice(0), err: err.splice(0), code: process.exitCode }
      } finally {
        process.exitCode = before
      }
    },
  }
}

const pod = (name: string, label = 'web') =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: {app: ${label}}}\nspec: {containers: [{name: main, image: x}]}\n`
const policy = (name: string, spec = '{podSelector: {}}') =>
  `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: ${name}, namespace: shop}\nspec: ${spec}\n`

test('objects are created, changed, left as they are, and deleted', async t => {
  const { run, write } = started(t)
  const file = write('shop.yaml', `${pod('web')}---\n${policy('deny')}`)
  assert.deepEqual(await run('apply', '-f', file), {
    out: ['Pod default/web created', 'NetworkPolicy shop/deny created'],
    err: [],
    code: 0,
  })
  write('shop.yaml', `${pod('web', 'other')}---\n${policy('deny')}`)
  assert.deepEqual((await run('apply', '-f', file)).out, [
    'Pod default/web configured',
    'NetworkPolicy shop/deny unchanged',
  ])
  assert.deepEqual((await run('delete', '-f', file)).out, [
    'Pod default/web deleted',
    'NetworkPolicy shop/deny deleted',
  ])
  const again = await run('delete', '-f', file)
  assert.deepEqual(again.out, ['Pod default/web not found', 'NetworkPolicy shop/deny not found'])
  assert.deepEqual((await run('get')).out, ['KIND   NAMESPACE   NAME   ORIGIN'])
})

test('a faulty object is refused with its place, the others are taken, and the last good one stays', async t => {
  const { run, write } = started(t)
  const file = write('shop.yaml', policy('deny'))
  await run('apply', '-f', file)
  write('shop.yaml', `${policy('deny', '{podSelector: {}, policyTypes: [Sideways]}')}---\n${pod('web')}`)
  const { out, err, code } = await run('apply', '-f', file)
  assert.deepEqual(out, ['NetworkPolicy shop/deny refused', 'Pod default/web created'])
  assert.equal(err.length, 1)
  assert.match(err[0] ?? '', /shop\.yaml:4:\d+: error: NetworkPolicy shop\/deny: spec\.policyTypes\[0\]: .*Sideways/)
  assert.equal(code, 1)
  assert.match((await run('get', 'networkpolicy', 'deny', '-o', 'yaml')).out.join('\n'), /spec: \{podSelector: \{\}\}/)
})

test('a warning is told and stores the object', async t => {
  const { run, write } = started(t)
  const { out, err, code } = await run(
    'apply',
    '-f',
    write('deny.yaml', policy('deny', '{podSelector: {}, nonsense: 1}')),
  )
  assert.deepEqual(out, ['NetworkPolicy shop/deny created'])
  assert.match(err.join(), /warning: NetworkPolicy shop\/deny: spec\.nonsense: unknown field/)
  assert.equal(code, 0)
})

test('a folder stands for the manifests in it and below it, in order', async t => {
  const { run, write } = started(t)
  write('all/b.yaml', pod('b'))
  write('all/sub/c.json', '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"c"}}')
  write('all/notes.txt', 'no manifest')
  const folder = path.dirname(write('all/a.yml', pod('a')))
  assert.deepEqual((await run('apply', '-f', folder)).out, [
    'Pod default/a created',
    'Pod default/b created',
    'Namespace c created',
  ])
})

test('get prints what is asked for, by kind, name, namespace and file', async t => {
  const { run, write } = started(t)
  const pods = write('pods.yaml', `${pod('web')}---\n${pod('client')}`)
  await run('apply', '-f', pods, write('deny.yaml', policy('deny')))
  const names = async (...args: readonly string[]) => {
    const { out } = await run('get', ...args)
    return out
      .slice(1)
      .map(line => line.split(/\s+/)[line.startsWith('NetworkPolicy') || line.startsWith('Pod') ? 2 : 0])
  }
  assert.deepEqual(await names(), ['deny', 'client', 'web'])
  for (const kind of ['pod', 'Pods', 'POD']) assert.deepEqual(await names(kind), ['client', 'web'], kind)
  for (const kind of ['networkpolicy', 'networkpolicies']) assert.deepEqual(await names(kind), ['deny'], kind)
  assert.deepEqual(await names('pods', 'web'), ['web'])
  assert.deepEqual(await names('-n', 'shop'), ['deny'])
  assert.deepEqual(await names('-f', pods), ['client', 'web'])
  const { out } = await run('get', 'pod', 'web', '-o', 'json')
  const [object] = JSON.parse(out.join('\n')) as { metadata: { name: string } }[]
  assert.equal(object?.metadata.name, 'web')
  await assert.rejects(run('get', 'pod', 'nobody'), { code: 'BAD_MANIFESTS', message: /there is no pod nobody in / })
})

test('what is not there is told by its name', async t => {
  const { run, objects } = started(t)
  await assert.rejects(run('apply', '-f', '/nowhere/x.yaml'), { message: /^\/nowhere\/x\.yaml cannot be read: ENOENT/ })
  fs.rmdirSync(objects)
  await assert.rejects(run('get'), { message: `there is no folder ${objects}` })
})
