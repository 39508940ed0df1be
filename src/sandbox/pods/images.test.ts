// Which program stands in for which image.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { POD_PROGRAMS } from '../paths.ts'
import { imageName, programOf } from './images.ts'
import type { ContainerSpec } from './manifest.ts'

const APP = [POD_PROGRAMS.node, POD_PROGRAMS.app]
const PORTS = [
  { containerPort: 80 },
  { containerPort: 81, protocol: 'UDP' },
  { containerPort: 82, protocol: 'TCP' },
  { containerPort: 83, protocol: 'SCTP' },
]

const cases: { name: string; container: Partial<ContainerSpec>; want: readonly string[] | RegExp }[] = [
  {
    name: 'a command wins over any image',
    container: { image: 'nginx', command: ['sh', '-c'], args: ['ls'] },
    want: ['sh', '-c', 'ls'],
  },
  {
    name: 'agnhost serves every declared TCP and UDP port',
    container: { image: 'registry.k8s.io/e2e-test-images/agnhost:2.45', ports: PORTS },
    want: [...APP, 'serve', '--tcp', '80,82', '--udp', '81'],
  },
  { name: 'agnhost without ports sleeps', container: { image: 'agnhost' }, want: [...APP, 'pause'] },
  {
    name: 'agnhost passes its arguments on',
    container: { image: 'agnhost:2', args: ['serve-hostname', '--udp', '--port', '80'] },
    want: [...APP, 'serve-hostname', '--udp', '--port', '80'],
  },
  {
    name: 'agnhost with a command that is not built in',
    container: { image: 'agnhost', args: ['dns-server'] },
    want: /no 'dns-server'/,
  },
  {
    name: 'agnhost named by its path in the image',
    container: { command: ['/agnhost', 'pause'] },
    want: [POD_PROGRAMS.agnhost, 'pause'],
  },
  {
    name: 'a web server has its usual port',
    container: { image: 'nginx:1.27-alpine' },
    want: [...APP, 'serve', '--tcp', '80'],
  },
  {
    name: 'a web server serves what is declared instead',
    container: { image: 'nginx', ports: [{ containerPort: 8080 }] },
    want: [...APP, 'serve', '--tcp', '8080'],
  },
  {
    name: 'http-echo',
    container: { image: 'hashicorp/http-echo', args: ['-text=hi'] },
    want: [...APP, 'http-echo', '-text=hi'],
  },
  {
    name: 'a shell image without arguments sleeps',
    container: { image: 'docker.io/library/busybox@sha256:0123' },
    want: [...APP, 'pause'],
  },
  {
    name: 'a shell image runs its arguments',
    container: { image: 'alpine:3', args: ['sleep', '1'] },
    want: ['sleep', '1'],
  },
  {
    name: 'an unknown image',
    container: { image: 'example.com:5000/team/shop:v1' },
    want: /no stand-in for 'example.com:5000\/team\/shop:v1'/,
  },
  { name: 'no image at all', container: {}, want: /give container c a command/ },
]

for (const { name, container, want } of cases) {
  test(name, () => {
    const program = programOf({ name: 'c', ...container }, container.command, container.args)
    if (want instanceof RegExp) {
      assert.ok('unknown' in program)
      assert.match(program.unknown, want)
    } else {
      assert.deepEqual(program, { argv: want })
    }
  })
}

test('the name of an image is its last part', () => {
  assert.equal(imageName('registry:5000/a/b:tag@sha256:ff'), 'b')
  assert.equal(imageName('registry:5000/b'), 'b')
})
