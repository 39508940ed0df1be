// `axoneme sandbox`: a cluster of network namespaces on this machine.

import { Command, Option } from 'commander'
import {
  type Streams,
  sandboxDown,
  sandboxExec,
  sandboxLogs,
  sandboxOutside,
  sandboxProbe,
  sandboxStatus,
  sandboxUp,
} from '../sandbox/commands.ts'
import { type OutputFormat, outputOption, wholeNumber } from './output.ts'

type Named = { readonly name: string }

const streams: Streams = { stdout: process.stdout, stderr: process.stderr }

const collect = (value: string, all: readonly string[]): string[] => [...all, value]

/** A sub-command that works on one sandbox. */
const on = (name: string, description: string): Command =>
  new Command(name)
    .description(description)
    .addOption(new Option('--name <name>', 'name of the sandbox').env('AXONEME_SANDBOX').default('default'))

export function sandboxCommand(): Command {
  return new Command('sandbox')
    .description('a cluster of network namespaces on this machine')
    .addCommand(
      on('up', 'start it')
        .option('--folder <path>', 'folder with manifests to follow too; may be given several times', collect, [])
        .action(async ({ name, folder }: Named & { readonly folder: readonly string[] }) => {
          process.exitCode = await sandboxUp({ name, folders: folder }, streams)
        }),
    )
    .addCommand(
      on('down', 'remove it, and whatever is left of it').action(async ({ name }: Named) => {
        process.exitCode = await sandboxDown({ name }, streams)
      }),
    )
    .addCommand(
      on('status', 'its nodes and pods')
        .addOption(outputOption())
        .action(async ({ name, output }: Named & { readonly output: OutputFormat }) => {
          process.exitCode = await sandboxStatus({ name, output }, streams)
        }),
    )
    .addCommand(
      on('exec', 'run a command in a pod')
        .argument('<pod>', 'namespace/name, or a name in namespace default')
        .argument('<command...>', 'after --')
        .option('-c, --container <name>', 'container of the pod')
        .action(async (pod: string, command: string[], { name, container }: Named & { container?: string }) => {
          process.exitCode = await sandboxExec({ name, pod, container, command }, streams)
        }),
    )
    .addCommand(
      on('outside', 'run a command on a machine outside of the cluster, which reaches it through its node')
        .argument('<command...>', 'after --')
        .action(async (command: string[], { name }: Named) => {
          process.exitCode = await sandboxOutside({ name, command }, streams)
        }),
    )
    .addCommand(
      on('logs', 'what a pod printed')
        .argument('<pod>', 'namespace/name, or a name in namespace default')
        .option('-c, --container <name>', 'container of the pod')
        .option('-f, --follow', 'go on with what it prints')
        .option('--lines <count>', 'only the last lines', wholeNumber)
        .action(async (pod: string, options: Named & { container?: string; follow?: boolean; lines?: number }) => {
          process.exitCode = await sandboxLogs({ pod, ...options }, streams)
        }),
    )
    .addCommand(
      on('probe', 'measure by real connections which pod reaches which')
        .requiredOption('--ports <list>', 'such as 80/TCP,81/UDP,http')
        .addOption(new Option('--family <family>', 'IP family').choices(['4', '6']).default('4'))
        .option('--timeout <ms>', 'of one try, in milliseconds', wholeNumber)
        .option('--tries <count>', 'before a connection counts as denied', wholeNumber)
        .addOption(outputOption())
        .action(async (options: ProbeOptions) => {
          const { name, ports, output, timeout, tries } = options
          const family = options.family === '6' ? 6 : 4
          process.exitCode = await sandboxProbe({ name, ports, output, family, timeoutMs: timeout, tries }, streams)
        }),
    )
}

type ProbeOptions = Named & {
  readonly ports: string
  readonly family: string
  readonly timeout?: number
  readonly tries?: number
  readonly output: OutputFormat
}
