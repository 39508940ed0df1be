// A process of a pod tries to get out, as root of the pod: every attempt of escape.c must fail. The same program outside
// of a pod, in private namespaces, shows that the attempts are real.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { cgroupRoot } from '../../src/sandbox/cgroup.ts'
import { nodePaths } from '../../src/sandbox/index.ts'
import { finish, NEEDS_ROOT, podManifest, runInPod, startSandbox, type TestSandbox } from './support.ts'

const BUILD = path.resolve(import.meta.dirname, '../../build')

/** What a protection answers. */
const REFUSALS: ReadonlySet<string> = new Set(['EPERM', 'EACCES', 'EROFS', 'ENOENT', 'ESRCH', 'ENOSYS', 'EAFNOSUPPORT'])
/** What a kernel answers that does not have the thing at all. */
const MISSING: ReadonlySet<string> = new Set(['ENOENT', 'ENOSYS', 'EAFNOSUPPORT', 'ENODEV'])
/** An attempt that got as far as being told that its argument is wrong. */
const REACHED: ReadonlySet<string> = new Set(['0', 'ESTALE', 'EFAULT', 'EINVAL'])

function compile(context: TestContext): string {
  const folder = fs.mkdtempSync(path.join(BUILD, 'test-escape-'))
  context.after(() => fs.rmSync(folder, { recursive: true }))
  const program = path.join(folder, 'escape')
  const source = path.join(import.meta.dirname, 'escape.c')
  const flags = ['-std=gnu11', '-O2', '-static', '-Wall', '-Wextra', '-Werror']
  const { status, stderr } = spawnSync('clang', [...flags, source, '-o', program], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return program
}

function parse(output: string): Map<string, string> {
  const lines = output.trim().split('\n')
  return new Map(lines.map(line => line.split(' ') as [string, string]))
}

async function startWithPod(context: TestContext): Promise<TestSandbox> {
  const sandbox = await startSandbox(context, 'test-escape')
  sandbox.apply('pod', podManifest('x/a'))
  await sandbox.untilReady('x/a')
  return sandbox
}

suite('no way out of a pod', { skip: NEEDS_ROOT }, () => {
  test('every attempt fails inside, and is real outside', async context => {
    const program = compile(context)
    const sandbox = await startWithPod(context)
    const victim = spawn('sleep', ['600'])
    context.after(() => victim.kill('SIGKILL'))
    const { agentSocket } = nodePaths(sandbox.paths, 'node1')
    const targets = [path.dirname(program), cgroupRoot(), String(victim.pid), agentSocket]

    const copy = 'cat > /tmp/escape && chmod +x /tmp/escape && exec /tmp/escape "$@"'
    const command = ['sh', '-c', copy, 'sh', ...targets]
    const inside = await runInPod(sandbox, 'x/a', command, fs.readFileSync(program))
    assert.equal(inside.code, 0, inside.stderr)
    const attempts = parse(inside.stdout)
    const succeeded = [...attempts].filter(([, outcome]) => !REFUSALS.has(outcome))
    assert.deepEqual(succeeded, [])

    const namespaces = ['--mount', '--net', '--uts', '--ipc', '--cgroup']
    // The checkout itself may be below /tmp, so the program is opened before that is covered.
    const privately = `exec 3<"$1" && shift && mount -t tmpfs private /tmp && ${copy.replace('>', '<&3 >')} 3<&-`
    const outside = await finish(spawn('unshare', [...namespaces, 'sh', '-c', privately, 'sh', program, ...targets]))
    assert.equal(outside.code, 0, outside.stderr)
    const controls = parse(outside.stdout)
    assert.deepEqual([...controls.keys()], [...attempts.keys()])
    const unreal = [...controls].filter(([, outcome]) => !REACHED.has(outcome) && !MISSING.has(outcome))
    assert.deepEqual(unreal, [])
    const real = [...controls].filter(([, outcome]) => REACHED.has(outcome))
    assert.ok(real.length > 25, `only ${real.length} attempts are possible here at all`)
  })

  test('a pod sees only its own processes, files and devices', async context => {
    const sandbox = await startWithPod(context)
    const see = async (script: string) => (await runInPod(sandbox, 'x/a', ['sh', '-c', script])).stdout.trim()
    assert.match(await see('ls /proc | grep -c "^[0-9]"'), /^[1-9]$/)
    assert.equal(await see('tr "\\0" " " < /proc/1/cmdline | xargs'), 'pause')
    assert.equal(await see('ls /run'), 'sandbox')
    assert.equal(await see('ls -A /tmp'), '')
    assert.equal(await see('ls /sys/fs/cgroup /sys/fs/bpf | grep -v ":$"'), '')
    assert.equal(
      await see('ls /dev'),
      'fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero',
    )
    assert.equal(await see('cat /proc/self/mounts | grep -cE " (cgroup2?|bpf|nsfs|debugfs|tracefs) "'), '0')
    assert.equal(await see('hostname'), 'a')
    assert.equal(await see('grep -c . /etc/resolv.conf'), '2')
    assert.match(await see('cat /etc/hosts'), /10\.244\.0\.\d+\ta$/m)
    // Nothing of the host's network, and no way to another namespace by an open descriptor.
    assert.equal(await see('ls /sys/class/net | tr "\\n" " "'), 'eth0 lo')
    assert.equal(await see('ls /proc/self/fd | tr "\\n" " "'), '0 1 2 3')
  })

  test('capabilities, privileges and the filter hold for containers and for exec alike', async context => {
    const sandbox = await startWithPod(context)
    // Process 1, the container's, and those of this very command.
    const script = 'grep -hE "^(Cap|NoNewPrivs|Seccomp:)" /proc/[0-9]*/status'
    const { stdout } = await runInPod(sandbox, 'x/a', ['sh', '-c', script])
    const values = (name: string) =>
      [...stdout.matchAll(new RegExp(`^${name}:\\s+(\\S+)$`, 'gm'))].map(([, value = '']) => value)
    const processes = values('CapEff').length
    assert.ok(processes >= 3)
    // chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot
    const kept = 0x425fbn
    for (const set of ['CapPrm', 'CapEff', 'CapBnd'])
      for (const value of values(set)) assert.equal(BigInt(`0x${value}`) & ~kept, 0n, set)
    for (const set of ['CapInh', 'CapAmb']) for (const value of values(set)) assert.equal(BigInt(`0x${value}`), 0n, set)
    assert.deepEqual(values('NoNewPrivs'), Array(processes).fill('1'))
    assert.deepEqual(values('Seccomp'), Array(processes).fill('2'))
  })

  test("pod-init's file cannot be reached through a process of the pod", async context => {
    const sandbox = await startWithPod(context)
    // The attack overwrites /proc/PID/exe of the program that entered the pod; here it is a sealed copy in memory.
    const script = 'readlink /proc/1/exe; exec 3>>/proc/1/exe'
    const { code, stdout, stderr } = await runInPod(sandbox, 'x/a', ['sh', '-c', script])
    assert.match(stdout, /^\/memfd:pod-init \(deleted\)$/m)
    assert.notEqual(code, 0)
    assert.match(stderr, /exe/)
  })
})
