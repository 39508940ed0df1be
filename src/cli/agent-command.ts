// `axoneme agent`: runs the agent in the foreground, as a service manager wants it:
// logs in JSON lines on standard output, ends on SIGTERM and SIGINT.

import { Command } from 'commander'
import { pino } from 'pino'
import { runAgent } from '../agent/agent.ts'
import { type AgentOptions, agentConfiguration } from '../agent/configuration.ts'
import { wholeNumber } from './output.ts'
import { VERSION } from './version.ts'

const collect = (value: string, all: readonly string[]): string[] => [...all, value]

export function agentCommand(): Command {
  return new Command('agent')
    .description('run the agent of one node')
    .requiredOption('--node <name>', 'name of the node')
    .requiredOption('--socket <path>', 'unix socket of the API')
    .requiredOption('--bpf <folder>', 'folder in a bpffs for maps and links that outlive the agent')
    .option('--state <folder>', 'folder for what is remembered over a restart (default: that of the socket)')
    .option('--objects <path>', 'folder or file with manifests; may be given several times', collect, [])
    .option('--pod-cidr <prefix>', 'range of pod addresses, one of each family', collect, [])
    .option('--node-address <address>', "this node's addresses", collect, [])
    .option('--mtu <bytes>', 'of pod interfaces', wholeNumber, 1500)
    .option(
      '--device <name>',
      'device that outside clients of services come by (default: those with the node addresses)',
      collect,
      [],
    )
    .option(
      '--xdp <mode>',
      'take service traffic that goes on to another node at the driver: "off", "generic", "native"',
      'off',
    )
    .option(
      '--policy-enforcement <mode>',
      'whom policies isolate: "default": the pods they select; "always": every pod; "never": nobody, and no rule is enforced',
      'default',
    )
    .option(
      '--service-cgroup <folder>',
      'control group whose processes have services translated in their sockets (default: none, all is done by the packet)',
    )
    .option(
      '--service-algorithm <name>',
      'how services choose backends that do not say it themselves: "random" or "maglev"',
      'random',
    )
    .option('--maglev-table-size <slots>', 'of each service that chooses by Maglev', wholeNumber, 16381)
    .option(
      '--service-forwarding <mode>',
      'how backends on other nodes answer clients outside: "snat" through this node, "dsr" directly',
      'snat',
    )
    .option(
      '--external-ip-range <prefix>',
      'take external addresses of services only from these ranges (default: from all)',
      collect,
      [],
    )
    .option(
      '--pod-translation <place>',
      'where connections of pods that do not ask are translated: "socket", or "packet" for meshes and virtual machines',
      'socket',
    )
    .option('--cluster-ips-from-outside', 'let clients outside of the cluster reach cluster addresses of services')
    .option(
      '--node-port-address <prefix>',
      'answer for node ports only on node addresses in these ranges (default: on all)',
      collect,
      [],
    )
    .option(
      '--proxy <path>',
      "unix socket of the node's proxy, which judges what is said on connections (default: none, such connections are refused)",
    )
    .option(
      '--dns-minimum-ttl <seconds>',
      'how long an answer of DNS holds at least for rules about names',
      wholeNumber,
      0,
    )
    .option('--dns-addresses-per-name <number>', 'that are kept for rules about names', wholeNumber, 1000)
    .option('--no-flow-events', 'count packets only, report no flows')
    .option(
      '--redact <part>',
      'show no http.url.query, http.url.user-info, http.headers=deny:NAMES or =allow:NAMES, kafka.api-key of requests (default: user names in URLs, headers that carry secrets)',
      collect,
      [],
    )
    .action(async (options: AgentOptions) => {
      const stop = new AbortController()
      for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort())
      const log = pino({ base: { node: options.node } })
      const configuration = agentConfiguration(options)
      await runAgent({ configuration, version: VERSION, log, signal: stop.signal })
    })
}
