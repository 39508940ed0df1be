// `axoneme demo`: starts a sandbox, plays the stories and shows, step by step, what was
// applied, tried, expected and measured. Leaves nothing behind, also when it fails or is
// interrupted, unless asked to.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { AgentClient } from '../api/index.ts'
import { type Flow, flowLine } from '../observe/index.ts'
import { defaultConfiguration, down, nodePaths, SandboxClient, sandboxPaths, up } from '../sandbox/index.ts'
import { colours as pc } from './colours.ts'
import { callScenes } from './demo-calls.ts'
import { SERVICE_SCENES } from './demo-services.ts'
import { showRows } from './demo-stage.ts'
import { type Attempt, STORY, STORY_PORTS, type Step } from './demo-story.ts'
import { tableText } from './output.ts'

const NAME = 'demo'
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const POD_START_MS = 30_000
/** Two tries of each: a packet that is denied is not answered, so a denial takes this long to see. */
const PROBE = { timeoutMs: 500, tries: 2, family: 4 } as const

export function demoCommand(): Command {
  return new Command('demo')
    .description(
      'try it: a sandbox, a small shop, policies that protect it, services that lead to it, and rules for API calls',
    )
    .option('--keep', 'leave the sandbox up', false)
    .action(async ({ keep }: { readonly keep: boolean }) => {
      const interrupted = new AbortController()
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort())
      const { signal } = interrupted
      let failed = true
      try {
        await start(signal)
        const wrong = await playAll(signal)
        failed = wrong > 0
        summarise(wrong)
      } finally {
        if (keep && !failed) sayHowToGoOn()
        else await clean()
      }
      if (failed) process.exitCode = 1
    })
}

async function start(signal: AbortSignal): Promise<void> {
  console.log(pc.bold('Starting a sandbox: a node and its pods, as network namespaces of this machine'))
  await down(NAME)
  await up(defaultConfiguration(NAME), { signal, onStep: step => console.log(pc.dim(`  ${step}`)) })
}

async function playAll(signal: AbortSignal): Promise<number> {
  let wrong = 0
  for (const [index, step] of STORY.entries()) {
    signal.throwIfAborted()
    console.log(`\n${pc.bold(`${index + 1}. ${step.title}`)}`)
    wrong += await play(step, signal)
  }
  for (const [index, { title, play: playScene, questions = [] }] of [...SERVICE_SCENES, ...callScenes()].entries()) {
    signal.throwIfAborted()
    console.log(`\n${pc.bold(`${STORY.length + index + 1}. ${title}`)}`)
    wrong += showRows(await playScene({ sandbox: NAME, signal, axoneme }))
    for (const question of questions) await axoneme(question)
  }
  return wrong
}

/** @returns how many attempts did not end as expected */
async function play(step: Step, signal: AbortSignal): Promise<number> {
  await axoneme(step.command)
  const client = new SandboxClient(NAME)
  const waiting = { timeoutMs: POD_START_MS, signal }
  await client.waitForPods(pods => pods.length === 4 && pods.every(pod => pod.ready), waiting)

  const { results } = await client.probe({ ports: STORY_PORTS, ...PROBE }, signal)
  const measured = new Map(results.map(cell => [`${cell.from} ${cell.to}:${cell.port}`, cell.verdict]))
  const rows = step.attempts.map(attempt => ({
    attempt,
    got: measured.get(`${attempt.from} ${attempt.to}`) ?? 'not measured',
  }))
  console.log(
    tableText(
      ['  TRIED', 'EXPECTED', 'HAPPENED', ''],
      rows.map(({ attempt, got }) => [
        `  ${attempt.from} -> ${attempt.to}`,
        attempt.want,
        got,
        got === attempt.want ? pc.green('ok') : pc.red('WRONG'),
      ]),
    ),
  )
  if (step.remark) {
    console.log(step.remark)
    await showRecords(step.attempts)
  }
  if (step.question) await axoneme(step.question)
  return rows.filter(({ attempt, got }) => got !== attempt.want).length
}

/** One line of the flow log for each attempt that was denied, or passed and would have been. */
async function showRecords(attempts: readonly Attempt[]): Promise<void> {
  const wanted = new Map(
    attempts.map(({ from, to, want }) => [`${from} ${to}`, want === 'denied' ? 'DROPPED' : 'AUDIT']),
  )
  const agent = new AgentClient(nodePaths(sandboxPaths(NAME), 'node1').agentSocket)
  for await (const flow of agent.flows<Flow>({ last: '4096' })) {
    const { source, destination } = flow
    if (!source.pod || !destination.pod) continue
    const key = `${source.pod.namespace}/${source.pod.name} ${destination.pod.namespace}/${destination.pod.name}:${destination.port}`
    if (wanted.get(key) !== flow.verdict) continue
    wanted.delete(key)
    console.log(pc.dim(`  ${flowLine(flow)}`))
  }
}

/** Runs a command on the demo's sandbox, shown as a user would type it. */
async function axoneme(args: readonly string[]): Promise<void> {
  console.log(pc.cyan(`$ axoneme ${args.map(arg => (/[ *]/.test(arg) ? `"${arg}"` : arg)).join(' ')}`))
  const child = spawn('bin/axoneme', [...args, '--sandbox', NAME], { cwd: ROOT, stdio: 'inherit' })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`axoneme ${args.join(' ')} ended with ${code}`)
}

function summarise(wrong: number): void {
  const count = STORY.reduce((total, step) => total + step.attempts.length, 0)
  console.log(
    wrong === 0
      ? `\n${pc.green(`All ${count} connection attempts, and all requests, ended as expected`)}, each a real connection between two processes.`
      : `\n${pc.red(`${wrong} of the results did not come out as expected.`)}`,
  )
}

function sayHowToGoOn(): void {
  console.log(`
The sandbox is still up. Go on with:
  bin/axoneme observe -f --sandbox ${NAME}                 flows as they happen
  bin/axoneme apply -f demo/allow-shop.yaml --sandbox ${NAME}
  bin/axoneme services --sandbox ${NAME}
  bin/axoneme fqdn --sandbox ${NAME}
  bin/axoneme sandbox probe --name ${NAME} --ports 8080/TCP,5432/TCP
  bin/axoneme status --sandbox ${NAME}
  bin/axoneme sandbox down --name ${NAME}                  when you are done`)
}

async function clean(): Promise<void> {
  console.log(pc.bold('\nRemoving the sandbox'))
  const { removed } = await down(NAME)
  for (const what of removed) console.log(pc.dim(`  removed ${what}`))
}
