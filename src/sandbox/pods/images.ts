// There are no images in the sandbox: a container runs its command from the host's files, or, for the images that tests
// and demos use, the built-in application. This file says which. Pure.

import { POD_PROGRAMS } from '../paths.ts'
import type { ContainerSpec } from './manifest.ts'

export type Program = { readonly argv: readonly string[] } | { readonly unknown: string }

const APP = [POD_PROGRAMS.node, POD_PROGRAMS.app]
const SLEEP: Program = { argv: [...APP, 'pause'] }

/** Images that serve HTTP on their declared ports, with the port they have when none is declared. */
const WEB_SERVERS: Readonly<Record<string, number>> = {
  nginx: 80,
  httpd: 80,
  caddy: 80,
  whoami: 80,
  'nginx-unprivileged': 8080,
  echoserver: 8080,
  'echo-server': 8080,
  'hello-app': 8080,
  'http-https-echo': 8080,
}

/** Images without a program of their own: they run their arguments, or nothing. */
const SHELLS: ReadonlySet<string> = new Set([
  'alpine',
  'bash',
  'busybox',
  'curl',
  'curl-container',
  'debian',
  'netshoot',
  'network-multitool',
  'toolbox',
  'ubuntu',
])

const AGNHOST_COMMANDS: ReadonlySet<string> = new Set([
  'connect',
  'load',
  'names',
  'netexec',
  'pause',
  'porter',
  'serve-hostname',
  'test-webserver',
])

/** @param command and `args` with their variables already expanded */
export function programOf(
  container: ContainerSpec,
  command: readonly string[] = [],
  args: readonly string[] = [],
): Program {
  if (command.length > 0) return { argv: replaceAgnhost([...command, ...args]) }
  const image = imageName(container.image ?? '')
  const webPort = WEB_SERVERS[image]
  if (webPort !== undefined) return serve(container, webPort)
  if (SHELLS.has(image)) return args.length > 0 ? { argv: args } : SLEEP
  switch (image) {
    case 'agnhost':
      return agnhost(container, args)
    case 'http-echo':
      return { argv: [...APP, 'http-echo', ...args] }
    case 'pause':
      return SLEEP
    default:
      return {
        unknown:
          `the sandbox runs no images, and has no stand-in for '${container.image ?? ''}': ` +
          `give container ${container.name} a command; it runs from this machine's files`,
      }
  }
}

/** Last part of an image's name, without registry, tag and digest. */
export function imageName(image: string): string {
  const [withoutDigest = ''] = image.split('@')
  const last = withoutDigest.slice(withoutDigest.lastIndexOf('/') + 1)
  return last.replace(/:.*$/, '')
}

function agnhost(container: ContainerSpec, args: readonly string[]): Program {
  const [name] = args
  if (name === undefined) return serve(container)
  if (AGNHOST_COMMANDS.has(name)) return { argv: [...APP, ...args] }
  const known = [...AGNHOST_COMMANDS].join(', ')
  return { unknown: `the sandbox's agnhost has no '${name}' (container ${container.name}); it has ${known}` }
}

/** Echo on every declared port; on none declared, on the given one, or nowhere. */
function serve(container: ContainerSpec, defaultPort?: number): Program {
  const ports = (protocol: string): number[] =>
    (container.ports ?? [])
      .filter(port => (port.protocol ?? 'TCP') === protocol)
      .map(({ containerPort }) => containerPort)
  const udp = ports('UDP')
  const tcp = ports('TCP')
  if (tcp.length === 0 && udp.length === 0) {
    if (defaultPort === undefined) return SLEEP
    tcp.push(defaultPort)
  }
  const flag = (name: string, numbers: number[]) => (numbers.length > 0 ? [name, numbers.join(',')] : [])
  return { argv: [...APP, 'serve', ...flag('--tcp', tcp), ...flag('--udp', udp)] }
}

/** Commands name the program by its path in the image. */
export function replaceAgnhost(argv: readonly string[]): readonly string[] {
  return argv[0] === '/agnhost' ? [POD_PROGRAMS.agnhost, ...argv.slice(1)] : argv
}
