// Every command against a running sandbox, as a user types it: what it prints can be
// read by people and parsed by machines, and what cannot be done is said with what to
// do about it.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { parse, parseAllDocuments } from 'yaml'
import { finish, runInPod } from '../sandbox/support.ts'
import { AXONEME, axoneme, outputOf, startAxoneme } from './command-line.ts'
import { NEEDS_ROOT, startCluster, until } from './support.ts'

const NAME = 'e2e-cli'
const ABSENT = 'e2e-absent'
const NOBODY = 65_534

const POD = (name: string, port: number) => `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  namespace: shop
  labels:
    app: ${name}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: agnhost
      ports:
        - containerPort: ${port}
          name: main
`
const POLICY = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: only-front
  namespace: shop
spec:
  podSelector:
    matchLabels:
      app: store
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app: front
`
const FILES = {
  'shop.yaml': [
    'apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n',
    POD('front', 80),
    POD('store', 5432),
    POD('other', 80),
  ].join('---\n'),
  'policy.yaml': POLICY,
} as const

function writeFiles(t: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-cli-'))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), text)
  fs.chmodSync(folder, 0o755)
  return folder
}

test('the command line', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, NAME)
  const folder = writeFiles(t, FILES)
  const on = (...args: string[]) => outputOf(...args, '--sandbox', NAME)
  const lines = (text: string): string[] => text.trimEnd().split('\n')

  await t.test('apply says what became of each object', async () => {
    assert.deepEqual(lines(await on('apply', '-f', folder)).sort(), [
      'Namespace shop created',
      'NetworkPolicy shop/only-front created',
      'Pod shop/front created',
      'Pod shop/other created',
      'Pod shop/store created',
    ])
    await cluster.untilReady('shop/front', 'shop/store', 'shop/other')
    await until(
      'the agent to have read the policy',
      async () => (await cluster.agent.table('policies')).rows.length === 1,
    )
    await cluster.agent.settled()
    const changed = await axoneme(
      ['apply', '-f', '-', '--sandbox', NAME],
      POLICY.replace('front\n', 'front\n  labels: {a: b}\n'),
    )
    assert.equal(changed.code, 0, changed.stderr)
    assert.equal(changed.stdout, 'NetworkPolicy shop/only-front configured\n')
    assert.deepEqual(
      new Set(lines(await on('apply', '-f', path.join(folder, 'shop.yaml'))).map(line => line.split(' ').at(-1))),
      new Set(['unchanged']),
    )
    await on('apply', '-f', folder)
  })

  await t.test('apply stores what is valid, refuses what is not, and ends with 1', async () => {
    const mixed = `${POD('valid', 80)}---\n${POD('invalid', 80_000)}---\n${POD('valid', 80).replace('kind: Pod', 'kind: Secret')}`
    const { code, stdout, stderr } = await axoneme(['apply', '-f', '-', '--sandbox', NAME], mixed)
    assert.equal(code, 1)
    assert.match(stdout, /^Pod shop\/valid created$/m)
    assert.match(stdout, /^Pod shop\/invalid refused$/m)
    assert.match(
      stderr,
      /^\(standard input\):\d+:\d+: error: Pod shop\/invalid: spec\.containers\[0\]\.ports\[0\]\.containerPort: must be/m,
    )
    const deleted = await axoneme(['delete', '-f', '-', '--sandbox', NAME], mixed)
    assert.match(deleted.stdout, /^Pod shop\/valid deleted$/m)
    assert.match(deleted.stdout, /^Pod shop\/invalid not found$/m)
    await cluster.untilGone('shop/valid')
  })

  await t.test('get lists and prints objects', async () => {
    assert.equal(lines(await on('get')).length, 1 + 5)
    assert.match(await on('get', 'pods'), /^Pod +shop +front +\S+:\d+$/m)
    assert.equal(lines(await on('get', 'networkpolicies', '-n', 'nowhere')).length, 1)
    const [policy] = JSON.parse(await on('get', 'networkpolicy', 'only-front', '-o', 'json')) as { spec: object }[]
    assert.deepEqual(policy?.spec, (parse(POLICY) as { spec: object }).spec)
    assert.equal((await on('get', 'networkpolicy', 'only-front', '-o', 'yaml')).trim(), POLICY.trim())
    assert.equal(parseAllDocuments(await on('get', '-o', 'yaml')).length, 5)
    const { code, stderr } = await axoneme(['get', 'pod', 'nobody', '--sandbox', NAME])
    assert.equal(code, 1)
    assert.match(stderr, /^axoneme: there is no pod nobody in sandbox e2e-cli$/m)
  })

  await t.test('everything that lists something prints a table, JSON and YAML of the same', async () => {
    const commands: readonly (readonly [string, RegExp])[] = [
      ['endpoints', /^ID +POD +ADDRESSES/],
      ['identities', /^NUMBER +NAME +LABELS/],
      ['tables', /^TABLE +ROWS +COMPLETE/],
      ['tables pods', /^NAMESPACE +NAME/],
      ['tables addresses', /^PREFIX +IDENTITY +OWNER/],
      ['policy get', /^KIND +NAMESPACE +NAME +STATUS +ENDPOINTS +ENTRIES +REVISION +SINCE +ORIGIN/],
      ['bpf maps', /^MAP +TYPE +KEY +VALUE +ENTRIES +MAX +FILL/],
      ['bpf programs', /^PROGRAM +ID +TAG/],
      ['bpf counters', /^VERDICT +DIRECTION +PACKETS +BYTES/],
    ]
    // Between two commands a row may come or go: then both are asked again.
    for (const [command, header] of commands)
      await until(`a table and JSON of the same ${command}`, async () => {
        const formats = ['table', 'json'].map(format => on(...command.split(' '), '-o', format))
        const [table = '', json = ''] = await Promise.all(formats)
        assert.match(table, header, command)
        return lines(table).length === 1 + (JSON.parse(json) as object[]).length
      })
    for (const command of ['endpoints', 'tables', 'bpf programs'])
      await until(`YAML and JSON of the same ${command}`, async () => {
        const formats = ['yaml', 'json'].map(format => on(...command.split(' '), '-o', format))
        const [yaml = '', json = ''] = await Promise.all(formats)
        return isDeepStrictEqual(parse(yaml), JSON.parse(json))
      })
    assert.match(await on('endpoints'), /^\d+ +shop\/front +10\.244\.\S+ fd00:\S+ +axo\d+ /m)
    assert.match(await on('policy', 'get'), /^NetworkPolicy +shop +only-front +enforced +1 +\d+ +\d+ +\S+Z +\S+:1$/m)
    const { code, stderr } = await axoneme(['tables', 'nothing', '--sandbox', NAME])
    assert.equal(code, 1)
    assert.match(stderr, /there is no table nothing; there are addresses, .*rules/)
  })

  await t.test('status', async () => {
    const text = await on('status')
    assert.match(text, /^node +node1$/m)
    assert.match(text, /^agent +ready \(after \d+ ms\), version \d/m)
    assert.match(text, /^holds +3 pods, 3 endpoints, 1 policies/m)
    const [json, yaml] = [await on('status', '-o', 'json'), await on('status', '-o', 'yaml')]
    assert.deepEqual(Object.keys(parse(yaml) as object), Object.keys(JSON.parse(json) as object))
  })

  await t.test('observe tells who was denied what, and by which policy', async t => {
    const store = (await cluster.pod('shop/store'))?.addresses[0] ?? ''
    const attempt = () => runInPod(cluster, 'shop/other', ['agnhost', 'connect', `${store}:5432`, '--timeout', '200ms'])
    const following = startAxoneme(['observe', '-f', '--sandbox', NAME, '--verdict', 'dropped'])
    t.after(() => following.kill('SIGKILL'))
    let followed = ''
    following.stdout?.on('data', (text: Buffer) => (followed += text.toString()))
    await until('a flow to be followed', async () => {
      await attempt()
      return followed !== ''
    })
    const line =
      /^\d\d:\d\d:\d\d\.\d{3} +drop +TCP SYN shop\/other:\d+ -> shop\/store:5432 +DROPPED \(POLICY_DENIED ingress\) +no rule allows it; isolated by NetworkPolicy shop\/only-front \(\S+:1\)$/m
    assert.match(followed, line)
    const ended = once(following, 'exit')
    following.kill('SIGINT')
    assert.deepEqual(await ended, [0, null])

    const asked = ['observe', '--sandbox', NAME, '--last', '100', '--pod', 'shop/other', '--verdict', 'DROPPED']
    assert.match(await outputOf(...asked), line)
    const flows = lines(await outputOf(...asked, '-o', 'json')).map(
      text => JSON.parse(text) as { verdict: string; source: { pod: { name: string } } },
    )
    assert.ok(flows.length > 0)
    assert.ok(flows.every(flow => flow.verdict === 'DROPPED' && flow.source.pod.name === 'other'))
    assert.equal(parseAllDocuments(await outputOf(...asked, '-o', 'yaml')).length, flows.length)
    assert.equal(await outputOf('observe', '--sandbox', NAME, '--pod', 'shop/nobody'), '')
  })

  await t.test('policy reach and sandbox probe print the same, and reach needs no rights', async () => {
    const ports = ['--ports', '80/TCP,main', '-o', 'json']
    const reach = await finish(startAxoneme(['policy', 'reach', '-f', folder, ...ports], { uid: NOBODY, gid: NOBODY }))
    assert.equal(reach.code, 0, reach.stderr)
    const rows = (json: string) => (JSON.parse(json) as object[]).map(row => JSON.stringify(row)).sort()
    assert.deepEqual(rows(await outputOf('sandbox', 'probe', '--name', NAME, ...ports)), rows(reach.stdout))
    assert.match(await outputOf('sandbox', 'probe', '--name', NAME, '--ports', 'main'), /^shop\/other .*X/m)
    const wrong = await axoneme(['policy', 'reach', '-f', folder, '--ports', '80/XYZ'])
    assert.equal(wrong.code, 1)
    assert.match(wrong.stderr, /"XYZ" in "80\/XYZ" is not TCP, UDP or SCTP/)
  })

  await t.test('sandbox status, exec and logs', async () => {
    assert.match(await outputOf('sandbox', 'status', '--name', NAME), /^shop\/front +1\/1 +Running/m)
    const status = JSON.parse(await outputOf('sandbox', 'status', '--name', NAME, '-o', 'json')) as { pods: object[] }
    assert.equal(status.pods.length, 3)
    const front = (await cluster.pod('shop/store'))?.addresses[0]
    const url = `http://${front}:5432/hello`
    assert.match(
      await outputOf('sandbox', 'exec', '--name', NAME, 'shop/front', '--', 'agnhost', 'get', url),
      /^shop\/store\nGET \/hello/,
    )
    const failed = await axoneme(['sandbox', 'exec', '--name', NAME, 'shop/front', '--', 'sh', '-c', 'exit 7'])
    assert.equal(failed.code, 7)
    assert.equal(await outputOf('sandbox', 'logs', '--name', NAME, 'shop/front'), '')
    const again = await axoneme(['sandbox', 'up', '--name', NAME])
    assert.equal(again.stdout, `sandbox ${NAME} is already up\n`)
  })

  await t.test('completion: in a real shell', async () => {
    for (const shell of ['bash', 'zsh', 'fish']) assert.match(await outputOf('completion', shell), /axoneme __complete/)
    const questions: readonly (readonly [
      words: readonly string[],
      isRight: (answers: readonly string[]) => boolean,
    ])[] = [
      [['ta'], answers => answers.join() === 'tables'],
      [['bpf', ''], answers => ['maps', 'programs', 'counters'].every(name => answers.includes(name))],
      [['status', '-o', 'j'], answers => answers.join() === 'json'],
      [['sandbox', 'probe', '--'], answers => answers.includes('--ports')],
    ]
    const script = questions.map(
      ([words]) => `COMP_WORDS=(axoneme ${words.map(word => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}
        _axoneme; echo "\${COMPREPLY[@]}"`,
    )
    const env = { ...process.env, PATH: `${path.dirname(AXONEME)}:${process.env['PATH']}` }
    const shell = spawn('bash', ['-c', ['source <(axoneme completion bash)', ...script].join('\n')], {
      env,
      stdio: 'pipe',
    })
    const { code, stdout, stderr } = await finish(shell)
    assert.equal(code, 0, stderr)
    for (const [i, answers] of lines(stdout).entries()) {
      const [words, isRight] = questions[i] ?? assert.fail(stdout)
      assert.ok(isRight(answers.split(' ')), `${words.join(' ')}: ${answers}`)
    }
  })

  await t.test('without a sandbox every command says so, and how to start one', async () => {
    const agentCommands = ['status', 'policy get', 'observe -f']
    const objectCommands = ['get', `apply -f ${folder}`, `delete -f ${folder}`]
    const sandboxCommands = ['status', 'exec a -- true', 'logs a', 'probe --ports 80']
    const runs = [
      ...agentCommands.map(command => `${command} --sandbox ${ABSENT}`),
      ...objectCommands.map(command => `${command} --sandbox ${ABSENT}`),
      ...sandboxCommands.map(command => `sandbox ${command.replace(/^\w+/, word => `${word} --name ${ABSENT}`)}`),
    ]
    for (const command of runs) {
      const { code, stdout, stderr } = await axoneme(command.split(' '))
      assert.equal(code, 1, command)
      assert.equal(stdout, '', command)
      assert.match(stderr, /axoneme sandbox up|there are no logs/, command)
      assert.doesNotMatch(stderr, /\n +at /, command)
    }
    const down = await axoneme(['sandbox', 'down', '--name', ABSENT])
    assert.deepEqual([down.code, down.stdout], [0, `sandbox ${ABSENT} is not up: nothing to remove\n`])
  })

  await t.test('who may not use the sandbox is told so', async () => {
    const commands = ['status', 'get']
    const runs = [...commands.map(command => `${command} --sandbox ${NAME}`), `sandbox status --name ${NAME}`]
    for (const command of runs) {
      const { code, stderr } = await finish(startAxoneme(command.split(' '), { uid: NOBODY, gid: NOBODY }))
      assert.equal(code, 1, command)
      assert.match(stderr, /^axoneme: .*only root (may|can) use .*sudo\n$/, command)
    }
  })

  await t.test('what is not a command, an option or a file', async () => {
    const wrong: readonly (readonly [string, RegExp])[] = [
      ['stauts', /unknown command 'stauts'[\s\S]*Did you mean status\?/],
      ['status --outptu json', /unknown option '--outptu'[\s\S]*Did you mean --output\?/],
      ['status -o xml', /'xml' is invalid[\s\S]*table, json, yaml/],
      ['policy reach -f /nowhere.yaml --ports 80', /\/nowhere\.yaml cannot be read: ENOENT/],
      ['policy reach --ports 80', /required option '-f, --filename/],
      [`sandbox up --name Wrong_Name`, /'Wrong_Name' cannot be the name of a sandbox/],
      [`sandbox exec --name ${NAME} nobody -- true`, /pod default\/nobody/],
    ]
    for (const [command, pattern] of wrong) {
      const { code, stderr } = await axoneme(command.split(' '))
      assert.equal(code, 1, command)
      assert.match(stderr, pattern)
      assert.doesNotMatch(stderr, /\n +at /, command)
    }
  })

  await t.test('delete', async () => {
    assert.equal(await on('delete', '-f', path.join(folder, 'policy.yaml')), 'NetworkPolicy shop/only-front deleted\n')
    assert.equal(
      await on('delete', '-f', path.join(folder, 'policy.yaml')),
      'NetworkPolicy shop/only-front not found\n',
    )
    await until('the policy to be gone', async () => (await cluster.agent.table('policies')).rows.length === 0)
  })
})
