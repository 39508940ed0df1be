// Feature probes: on this kernel what its version promises is there, and a
// process without rights is told so, not that the kernel is too old.

import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { FeatureError, probeAll, requireFeature } from '../../src/bpf/index.ts'
import { needsRoot } from './support.ts'

const atLeast = (version: string): boolean => {
  const [major = 0, minor = 0] = release().split(/[.-]/).map(Number)
  const [wantedMajor = 0, wantedMinor = 0] = version.split('.').map(Number)
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
}

describe('probe', { skip: needsRoot }, () => {
  // netkit may be left out of a kernel of any version.
  for (const { feature, title, since, answer } of needsRoot ? [] : probeAll())
    test(`${title}: ${answer}`, () => {
      if (feature === 'netkit') assert.notEqual(answer, 'no permission')
      else assert.equal(answer, atLeast(since) ? 'supported' : 'missing')
      if (answer === 'supported') requireFeature(feature)
    })

  test('no probe leaves anything behind', () => {
    const open = (): string => execFileSync('ls', ['/proc/self/fd'], { encoding: 'utf8' })
    const before = open()
    probeAll()
    assert.equal(open(), before)
  })

  test('without rights the answer is "no permission"', () => {
    // The sources may stand where only root may read.
    const folder = mkdtempSync(join(tmpdir(), 'axo-probe-'))
    try {
      const root = join(import.meta.dirname, '../..')
      for (const part of ['src/bpf', 'src/sys', 'package.json', 'node_modules/koffi', 'node_modules/@koromix'])
        cpSync(join(root, part), join(folder, part), { recursive: true, dereference: true })
      cpSync(process.execPath, join(folder, 'node'), { dereference: true })
      execFileSync('chmod', ['-R', 'a+rX', folder])
      const script = `import { probeAll, requireFeature } from ${JSON.stringify(join(folder, 'src/bpf/index.ts'))}
        console.log([...new Set(probeAll().map(one => one.answer))].join())
        try { requireFeature('tcx') } catch (error) { console.log(error.name + ': ' + error.message) }`
      const run = spawnSync(join(folder, 'node'), ['--input-type=module-typescript', '-e', script], {
        uid: 65534,
        gid: 65534,
        cwd: folder,
        encoding: 'utf8',
      })
      assert.equal(run.stderr, '')
      assert.deepEqual(run.stdout.trim().split('\n'), [
        'no permission',
        'PermissionError: ask the kernel for tcx links: EPERM: needs root, or CAP_BPF with CAP_NET_ADMIN',
      ])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

test('a missing feature names the kernel that has it', () => {
  const message = (kernel: string): string => new FeatureError('tcx', 'tcx links', '6.6', kernel).message
  assert.equal(message('5.15.0-91-generic'), 'tcx links need Linux 6.6; this kernel is 5.15.0-91-generic')
  assert.match(message('6.18.1'), /this kernel \(6.18.1\) was built without tcx links/)
})
