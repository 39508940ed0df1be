// `axoneme proxy`: runs the proxy of one node in the foreground, as a service manager
// wants it: logs in JSON lines on standard output, ends on SIGTERM and SIGINT.

import { Command } from 'commander'
import { pino } from 'pino'
import { type ProxyOptions, proxyConfiguration } from '../proxy/configuration.ts'
import { runProxy } from '../proxy/proxy.ts'
import { VERSION } from './version.ts'

export function proxyCommand(): Command {
  return new Command('proxy')
    .description('run the proxy of one node, which judges what is said on connections')
    .requiredOption('--socket <path>', 'unix socket of its API')
    .requiredOption('--bpf <folder>', 'folder in a bpffs where the agent keeps the datapath')
    .requiredOption('--cgroup <folder>', 'control group for the proxy alone; made where it is missing')
    .option('--state <folder>', 'folder for the rules that it keeps over a restart (default: that of the socket)')
    .option(
      '--agent <path>',
      "unix socket of the node's agent, which is told what answers of DNS teach (default: nobody)",
    )
    .option(
      '--dns-reject <how>',
      'answer to questions of DNS that no rule allows: refused or nameError (default: refused)',
    )
    .option(
      '--dns-wait <milliseconds>',
      'how long an answer of DNS waits for the agent to have its addresses in force (default: 1000)',
    )
    .option(
      '--denied-body <text>',
      'body of the 403 that answers requests of HTTP that no rule allows (default: Access denied)',
    )
    .option(
      '--http-events <which>',
      'requests of HTTP that make events: all, or denied, with those that fail or that a rule changes (default: all)',
    )
    .option(
      '--http-headers <names>',
      'headers of requests of HTTP that events tell, with commas, such as user-agent,x-request-id (default: none)',
    )
    .action(async (options: ProxyOptions) => {
      const stop = new AbortController()
      for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort())
      const log = pino({ base: {} })
      await runProxy({ configuration: proxyConfiguration(options), version: VERSION, log, signal: stop.signal })
    })
}
