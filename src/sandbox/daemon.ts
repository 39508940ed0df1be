// The process that is a sandbox: made by `up` inside its own control group, mount namespace and network namespace (the
// switch). Builds the nodes, keeps their agents and pods running, and answers commands. When it ends, however it ends,
// everything in the sandbox ends with it; what is left in the file system is removed by `down` or the next `up`.

import fs from 'node:fs'
import path from 'node:path'
import { serveApi } from '../api/server.ts'
import * as cgroup from './cgroup.ts'
import { parseConfiguration, type SandboxConfiguration } from './configuration.ts'
import { controlRoutes, type OutsideEntry } from './control.ts'
import { ControlPlane } from './control-plane.ts'
import { messageOf } from './errors.ts'
import { createOutsideNamespace, createSwitch } from './network.ts'
import { SandboxNode } from './node.ts'
import { type SandboxPaths, sandboxPaths } from './paths.ts'
import { writePodPrograms } from './pods/programs.ts'
import { recordOf } from './process-record.ts'
import { StartReport } from './start-report.ts'

const [name = ''] = process.argv.slice(2)
const paths = sandboxPaths(name)
const group = path.join(cgroup.cgroupRoot(), paths.cgroupName)

// This kills the daemon too. Pods get no time to end: who wants that deletes them first.
const endAll = (): void => cgroup.kill(group)
process.on('SIGTERM', endAll)
process.on('SIGINT', endAll)

const report = new StartReport(endAll)
try {
  await start(parseConfiguration(fs.readFileSync(paths.configuration, 'utf8')), paths)
  await report.end({ ready: true })
} catch (error) {
  await report.end({ failed: messageOf(error) })
  endAll()
}

async function start(configuration: SandboxConfiguration, paths: SandboxPaths): Promise<void> {
  const startedAt = new Date().toISOString()
  // Aborted by nothing: the daemon's end is the end of its children.
  const { signal } = new AbortController()
  report.step('network: a switch and a namespace for each node')
  createSwitch()
  writePodPrograms(paths.podFiles)
  const controlPlane = new ControlPlane(configuration, paths)
  const onPods = (): void => controlPlane.onPods()
  const nodes = configuration.nodes.map(
    (node, position) => new SandboxNode({ configuration, node, position, paths, sandboxCgroup: group, signal, onPods }),
  )
  for (const node of nodes) {
    report.step(`agent of ${node.name}`)
    await node.start()
  }
  let outside: Promise<OutsideEntry> | undefined
  await serveApi(
    paths.daemonSocket,
    controlRoutes({
      status: () => ({
        name: configuration.name,
        pid: process.pid,
        startedAt,
        objects: paths.objects,
        nodes: nodes.map(node => node.status),
        pods: nodes.flatMap(node => node.runner.status()),
        services: controlPlane.services(),
      }),
      runningPods: () => nodes.flatMap(node => node.runner.running()),
      outside: () => (outside ??= makeOutside(configuration)),
      settling: () => nodes.some(node => node.runner.settling()),
    }),
  )
  void controlPlane.run(nodes, signal).catch(endWith)
  fs.writeFileSync(paths.daemonRecord, JSON.stringify(recordOf(process.pid)))
}

async function makeOutside({ nodes: [router] }: SandboxConfiguration): Promise<OutsideEntry> {
  if (!router) throw new Error('a sandbox without a node')
  const { fd } = await createOutsideNamespace(router)
  return { cgroup: cgroup.create(path.join(group, 'outside')), networkNamespace: `/proc/${process.pid}/fd/${fd}` }
}

/** A defect: better no sandbox than one that no longer follows its objects. */
function endWith(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  endAll()
}
