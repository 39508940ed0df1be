// A headless Chromium that opens one page and ends when the page has answered. The page
// and the modules that it imports come from a small server on loopback. The browser has
// a profile folder of its own, which goes with it, and is ended with all its processes.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'

/** Its own time for a first start on a slow machine. */
const PATIENCE_MS = 120_000
/** From being asked to end to being ended. */
const GRACE_MS = 5_000

export type Page = {
  readonly html: string
  /** URL prefixes, such as `/zod/`, and the folders whose files they stand for. */
  readonly folders: Readonly<Record<string, string>>
  /** Answers by path. */
  readonly documents: Readonly<Record<string, string>>
}

/** What the page posts to `/answer`. @throws Error with Chromium's messages when it posts nothing in time */
export async function openInChromium(page: Page): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const missing: string[] = []
  const server = http.createServer((request, response) => void answer(request, response))
  async function answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    if (request.method === 'POST') {
      resolve(await text(request))
      response.end()
      return
    }
    const found = contentOf(page, pathname)
    if (!found) missing.push(pathname)
    response.writeHead(found ? 200 : 404, { 'content-type': found?.type ?? 'text/plain' }).end(found?.content)
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const browser = startBrowser(`http://127.0.0.1:${port}/`)
  const timer = setTimeout(() => browser.end(), PATIENCE_MS)
  try {
    return await Promise.race([
      promise,
      browser.ended.then(output => {
        throw new Error(`Chromium ended without an answer (not found: ${missing.join(' ') || 'nothing'}):\n${output}`)
      }),
    ])
  } finally {
    clearTimeout(timer)
    browser.end()
    await browser.ended.finally(() => browser.removeProfile())
    server.closeAllConnections()
    server.close()
  }
}

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.html': 'text/html; charset=utf-8',
  '.json': 'application/json',
}

function contentOf(page: Page, pathname: string): { content: string | Buffer; type: string } | undefined {
  if (pathname === '/') return { content: page.html, type: 'text/html; charset=utf-8' }
  const type = TYPES[path.extname(pathname)] ?? 'text/plain'
  const document = page.documents[pathname]
  if (document !== undefined) return { content: document, type }
  const prefix = Object.keys(page.folders).find(known => pathname.startsWith(known))
  if (prefix === undefined) return undefined
  const file = path.join(page.folders[prefix] ?? '', path.normalize(`/${pathname.slice(prefix.length)}`))
  return fs.existsSync(file) ? { content: fs.readFileSync(file), type } : undefined
}

function startBrowser(url: string) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-chromium-'))
  const child = spawn('chromium', [...FLAGS, `--user-data-dir=${profile}`, url], {
    // A group of its own, so that its helpers end with it.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: profile, XDG_RUNTIME_DIR: profile, TMPDIR: profile, LC_ALL: 'C.UTF-8' },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output = (output + chunk).slice(-10_000)
    })
  const { promise: ended, resolve, reject } = Promise.withResolvers<string>()
  child.on('error', cause => reject(new Error('chromium does not start: `npm run setup` installs it', { cause })))
  child.on('close', () => resolve(output))
  return {
    ended,
    /** Asked first, so that it collects its helpers itself; in the end all of its group. */
    end() {
      signalTo(child.pid, 'SIGTERM')
      const timer = setTimeout(() => signalTo(child.pid && -child.pid, 'SIGKILL'), GRACE_MS)
      child.once('close', () => clearTimeout(timer))
    },
    removeProfile: () => fs.rmSync(profile, { recursive: true, force: true, maxRetries: 10 }),
  }
}

function signalTo(target: number | undefined, signal: NodeJS.Signals): void {
  if (target === undefined) return
  try {
    process.kill(target, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** The sandbox of Chromium does not run as root; the page is our own. Nothing is asked of any network but loopback. */
const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--no-proxy-server',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-extensions',
  '--disable-breakpad',
  '--disable-crash-reporter',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
] as const
