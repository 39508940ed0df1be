// What the tests of the BPF library share: objects compiled by clang, a bpffs, a
// cgroup and network namespaces of their own, all gone afterwards. Nothing here
// touches a device, route or cgroup of this machine.

import { execFileSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ObjectSpec, parseObject } from '../../src/bpf/index.ts'
import { check } from '../../src/sys/errors.ts'
import { SYSCALL, syscall } from '../../src/sys/native.ts'

/** For the `skip` option of a test: `false` where BPF may be used. */
export const needsRoot: string | false = process.getuid?.() === 0 ? false : 'needs root'

const here = import.meta.dirname
const build = join(here, '../../build/test-bpf')

/** Compiles `NAME.bpf.c` of this folder where it is newer than its object. @returns the object's bytes */
export function compileObject(name: string): Buffer {
  mkdirSync(build, { recursive: true })
  const source = join(here, `${name}.bpf.c`)
  const object = join(build, `${name}.o`)
  if (!existsSync(object) || statSync(object).mtimeMs < statSync(source).mtimeMs) compile(source, object)
  return readFileSync(object)
}

export const loadSpec = (name: string): ObjectSpec => parseObject(compileObject(name))

/** Compiles a snippet. */
export function compileText(name: string, text: string): Buffer {
  mkdirSync(build, { recursive: true })
  const object = join(build, `${name}.o`)
  const headers = '#include <linux/bpf.h>\n#include <linux/types.h>\n#include <bpf/bpf_helpers.h>\n'
  const licence = '\nchar LICENSE[] SEC("license") = "GPL";\n'
  const source = join(build, `${name}.bpf.c`)
  writeFileSync(source, headers + text + licence)
  compile(source, object)
  return readFileSync(object)
}

export function compile(source: string, object: string): void {
  const temporary = `${object}.${process.pid}`
  const include = `-I/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`
  const flags = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', include, '-c', source, '-o', temporary]
  execFileSync('clang', flags, { stdio: ['ignore', 'ignore', 'inherit'] })
  renameSync(temporary, object)
}

/** A bpffs mounted on a folder of its own. */
export function temporaryBpffs(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'axo-bpffs-'))
  execFileSync('mount', ['-t', 'bpf', 'bpf', path])
  return {
    path,
    [Symbol.dispose]() {
      execFileSync('umount', [path])
      rmdirSync(path)
    },
  }
}

/** A cgroup (v2) of its own, empty. */
export function temporaryCgroup(): Disposable & { readonly path: string } {
  const mount = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map(line => line.split(' '))
    .find(([, , type]) => type === 'cgroup2')?.[1]
  if (!mount) throw new Error('no cgroup v2 is mounted')
  const path = join(mount, `axo-bpf-test-${process.pid}`)
  mkdirSync(path)
  return { path, [Symbol.dispose]: () => rmdirSync(path) }
}

let namespaces = 0

export type Namespace = Disposable & {
  readonly name: string
  readonly path: string
  ip(...words: string[]): string
  /** Runs synchronous code with this thread in the namespace. */
  inside<Result>(run: () => Result): Result
  ifindex(device: string): number
}

/** A network namespace of its own. */
export function temporaryNamespace(): Namespace {
  const name = `axo-bpf-test-${process.pid}-${++namespaces}`
  const path = `/run/netns/${name}`
  execFileSync('ip', ['netns', 'add', name])
  const ip = (...words: string[]): string => execFileSync('ip', ['-n', name, ...words], { encoding: 'utf8' })
  return {
    name,
    path,
    ip,
    inside: run => insideNamespace(path, run),
    ifindex: device => Number.parseInt(ip('-o', 'link', 'show', 'dev', device), 10),
    [Symbol.dispose]: () => execFileSync('ip', ['netns', 'del', name]),
  }
}

const CLONE_NEWNET = 0x40000000

function insideNamespace<Result>(path: string, run: () => Result): Result {
  const here = openSync('/proc/self/ns/net', 'r')
  const there = openSync(path, 'r')
  try {
    check(`enter ${path}`, syscall(SYSCALL.setns, there, CLONE_NEWNET))
    try {
      return run()
    } finally {
      check('leave the namespace', syscall(SYSCALL.setns, here, CLONE_NEWNET))
    }
  } finally {
    closeSync(there)
    closeSync(here)
  }
}

/** Ethernet, IPv4, UDP: enough of a frame for a test run. */
export function frame(length = 64): Uint8Array {
  const bytes = new Uint8Array(length)
  bytes.set([0x08, 0x00, 0x45], 12)
  return bytes
}
