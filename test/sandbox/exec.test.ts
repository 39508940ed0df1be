// `sandbox exec`, `logs` and `status` as a user runs them: streams, exit codes, signals, and a terminal of the pod's own.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { after, before, suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { sandboxLogs, sandboxStatus } from '../../src/sandbox/commands.ts'
import { down, up } from '../../src/sandbox/index.ts'
import { capture, describeSandbox, type Finished, finish, NEEDS_ROOT, podManifest } from './support.ts'

const sandbox = describeSandbox('test-exec')
const PROGRAM = fileURLToPath(import.meta.resolve('./exec-program.ts'))
const commandLine = (pod: string, command: readonly string[]): string[] => [
  process.execPath,
  PROGRAM,
  sandbox.name,
  pod,
  ...command,
]

const exec = (pod: string, command: readonly string[], input = ''): Promise<Finished> => {
  const [program = '', ...args] = commandLine(pod, command)
  return finish(spawn(program, args), input)
}

/** With a terminal around it, as script(1) makes one. Each text is typed when the output ends with its prompt. */
async function execWithTerminal(
  pod: string,
  command: readonly string[],
  dialogue: readonly (readonly [prompt: string, typed: string])[],
): Promise<Finished> {
  const quoted = commandLine(pod, command)
    .map(word => `'${word}'`)
    .join(' ')
  const child = spawn('script', ['-qec', quoted, '/dev/null'])
  const left = [...dialogue]
  let output = ''
  child.stdout.on('data', (text: Buffer) => {
    output += text.toString()
    const [next] = left
    if (!next || !output.endsWith(next[0])) return
    left.shift()
    child.stdin.write(next[1])
  })
  const code = await new Promise<number>(resolve => child.on('close', exitCode => resolve(exitCode ?? -1)))
  assert.deepEqual(left, [], `it went otherwise:\n${output}`)
  return { code, stdout: output, stderr: '' }
}

suite('exec, logs, status', { skip: NEEDS_ROOT }, () => {
  before(async () => {
    await up(sandbox.configuration)
    const command = ['sh', '-c', 'echo one; echo two >&2; exec sleep 600']
    const two = {
      containers: [
        { name: 'a', command },
        { name: 'b', command: ['sleep', '600'] },
      ],
    }
    sandbox.apply('pods', podManifest('default/a', { command }), {
      ...podManifest('x/two'),
      spec: { ...two, terminationGracePeriodSeconds: 0 },
    })
    await sandbox.untilReady('default/a', 'x/two')
  })
  after(() => down(sandbox.name))

  test('streams and exit codes are those of the command', async () => {
    const echoed = await exec('a', ['sh', '-c', 'cat; echo error >&2; exit 42'], 'input')
    assert.deepEqual(echoed, { code: 42, stdout: 'input', stderr: 'error\n' })
    assert.equal((await exec('default/a', ['sh', '-c', 'kill -TERM $$'])).code, 128 + 15)
    const missing = await exec('a', ['no-such-program'])
    assert.equal(missing.code, 127)
    assert.match(missing.stderr, /cannot run no-such-program/)
    assert.equal((await exec('a', ['/etc/passwd'])).code, 126)
  })

  test('what cannot be entered says why', async () => {
    for (const [pod, message] of [
      ['nobody', /no pod default\/nobody/],
      ['a/b/c', /not a pod/],
      ['x/', /not a pod/],
    ] as const) {
      const { code, stderr } = await exec(pod, ['true'])
      assert.equal(code, 1)
      assert.match(stderr, message)
    }
  })

  test('a signal to the command reaches the process in the pod', async () => {
    const [program = '', ...args] = commandLine('a', [
      'sh',
      '-c',
      'trap "echo got it; exit 7" TERM; echo ready; while :; do sleep 0.02; done',
    ])
    const child = spawn(program, args)
    const finished = finish(child)
    child.stdout.once('data', () => child.kill('SIGTERM'))
    assert.deepEqual(await finished, { code: 7, stdout: 'ready\ngot it\n', stderr: '' })
  })

  test("a terminal is the pod's own, echoes once, and takes Ctrl-C", async () => {
    const script =
      'tty; printf "name? "; read name; echo "hello $name"; trap "echo interrupted; exit 9" INT; printf "wait"; while :; do sleep 0.02; done'
    const { code, stdout } = await execWithTerminal(
      'a',
      ['sh', '-c', script],
      [
        ['name? ', 'you\r'],
        ['wait', '\u0003'],
      ],
    )
    assert.equal(code, 9)
    assert.equal(stdout.replaceAll('\r', ''), '/dev/pts/0\nname? you\nhello you\nwait^Cinterrupted\n')
  })

  test('the end of the input reaches the command', async () => {
    const { stdout } = await execWithTerminal('a', ['sh', '-c', 'printf go; cat; echo ended'], [['go', '\u0004']])
    assert.match(stdout, /ended/)
  })

  test('logs are those of the container', async () => {
    const logs = async (options: { pod: string; container?: string; lines?: number }) => {
      const streams = capture()
      const code = await sandboxLogs({ name: sandbox.name, ...options }, streams)
      return { code, stdout: streams.text(), stderr: streams.errors() }
    }
    assert.equal((await logs({ pod: 'a' })).stdout, 'one\ntwo\n')
    assert.equal((await logs({ pod: 'a', lines: 1 })).stdout, 'two\n')
    assert.equal((await logs({ pod: 'x/two', container: 'a' })).stdout, 'one\ntwo\n')
    assert.match((await logs({ pod: 'x/two' })).stderr, /several containers \(a, b\)/)
    assert.match((await logs({ pod: 'x/two', container: 'z' })).stderr, /it has logs of a, b/)
    assert.equal((await logs({ pod: 'x/none' })).code, 1)
  })

  test('status shows nodes, agents and pods', async () => {
    const streams = capture()
    assert.equal(await sandboxStatus({ name: sandbox.name }, streams), 0)
    assert.match(streams.text(), /^sandbox test-exec: up for /)
    assert.match(streams.text(), /^node1 +172\.30\.0\.2\/24 fd00:172:30::2\/64 +ready/m)
    assert.match(streams.text(), /^default\/a +1\/1 +Running +0 +10\.244\.0\.\d+ fd00:10:244::\w+ +node1$/m)
    const json = capture()
    assert.equal(await sandboxStatus({ name: sandbox.name, output: 'json' }, json), 0)
    assert.equal((JSON.parse(json.text()) as { name: string }).name, sandbox.name)
    const none = capture()
    assert.equal(await sandboxStatus({ name: 'test-none' }, none), 1)
    assert.match(none.errors(), /sandbox test-none is not up/)
  })
})
