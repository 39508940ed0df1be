// HAProxy under the supervisor, with a configuration of this test's own: its sockets stay
// when it dies, rule sets come by the runtime API and by files, and its lines of log.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { openTransparentSocket } from '../../src/net/index.ts'
import type { L7RuleSet } from '../../src/policy/index.ts'
import { EventLog } from '../../src/proxy/event-log.ts'
import {
  HAPROXY_PLACES,
  type HaproxyRules,
  haproxyLauncher,
  makeHaproxyFolder,
} from '../../src/proxy/haproxy-launcher.ts'
import { systemUser } from '../../src/proxy/rights.ts'
import { ServerProcess } from '../../src/proxy/server-process.ts'

const needsRoot = process.getuid?.() === 0 ? false : 'needs root'
const QUIET = { info: () => undefined, error: () => undefined }

/** Allows a path when the map has it; a set with the number 13 cannot be judged by. */
const RULES: HaproxyRules = {
  configuration: ({ sockets, runtimeSocket, logSocket, maps, maxConnections }) => `
global
  stats socket ${runtimeSocket} mode 600 level admin
  maxconn ${maxConnections}
ring events
  format raw
  maxlen 8192
  size 65536
  timeout connect 1s
  timeout server 1h
  server supervisor unix@${logSocket} log-proto legacy
defaults
  mode http
  log ring@events len 8192 local0
  timeout client 10s
  timeout server 10s
  timeout connect 1s
frontend f
  bind fd@${sockets.http.ipv4} transparent
  bind fd@${sockets.http.ipv6} transparent
  http-request set-var(txn.path) path
  http-request return status 200 content-type text/plain lf-string "%[path,map_str(${maps}/paths.map)]" if { path,map_str(${maps}/paths.map) -m found }
  http-request return status 403
  log-format '{"path":"%[var(txn.path),json(utf8s)]","status":%ST}'
`,
  maps: ['paths'],
  entries: ({ number, rules }) => {
    if (number === 13) throw new Error('unlucky')
    return rules.rules.map(rule => ({
      map: 'paths',
      key: 'path' in rule ? (rule.path ?? '') : '',
      value: String(number),
    }))
  },
}

const set = (number: number, ...paths: readonly string[]): L7RuleSet => ({
  number,
  rules: {
    parser: 'http',
    rules: paths.map(text => ({ rule: 'r', field: 'f', path: text, headers: [] })),
    serverNames: [],
  },
})

function start(t: TestContext, sets: L7RuleSet[]) {
  const closed = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-haproxy-'))
  fs.chmodSync(closed, 0o700)
  const folder = path.join(closed, 'haproxy')
  const sockets = ([4, 6, 4, 6] as const).map(family => openTransparentSocket(family, 'TCP'))
  const events = new EventLog()
  makeHaproxyFolder(folder, systemUser('haproxy'))
  const logSocket = path.join(folder, HAPROXY_PLACES.logSocket)
  const intake = net.createServer(connection => void events.take(connection)).listen(logSocket)
  intake.unref()
  intake.once('listening', () => fs.chmodSync(logSocket, 0o666))
  const server = new ServerProcess({
    launcher: haproxyLauncher({
      rules: RULES,
      folder,
      files: [],
      descriptors: sockets.map(({ fd }) => fd) as [number, number, number, number],
      user: systemUser('haproxy'),
      maxConnections: 100,
      deniedBody: 'no',
      httpEvents: 'all',
      httpHeaders: [],
      onOutput: () => undefined,
    }),
    ruleSets: () => sets,
    log: QUIET,
  })
  const stop = new AbortController()
  const running = server.run(stop.signal)
  t.after(async () => {
    stop.abort()
    await running
    intake.close()
    for (const socket of sockets) socket[Symbol.dispose]()
    fs.rmSync(closed, { recursive: true })
  })
  const port = sockets[0]?.port ?? 0
  return {
    server,
    events,
    /** The number of the set that allows the path, or the status that refuses it. */
    ask: async (pathname: string) => {
      const { promise, resolve, reject } = Promise.withResolvers<number>()
      http
        .get({ host: '127.0.0.1', port, path: pathname, agent: false }, response => {
          response.setEncoding('utf8')
          let text = ''
          response.on('data', chunk => {
            text += chunk
          })
          response.on('end', () => resolve(response.statusCode === 200 ? Number(text) : (response.statusCode ?? 0)))
        })
        .on('error', reject)
      return promise
    },
    change: async (add: readonly L7RuleSet[], remove: readonly number[]) => {
      const gone = new Set([...remove, ...add.map(({ number }) => number)])
      const replaced = sets.map(({ number }) => number).filter(number => gone.has(number))
      sets.splice(0, sets.length, ...sets.filter(({ number }) => !gone.has(number)), ...add)
      server.tell({ whole: false, add, remove: replaced })
      await server.upToDate(AbortSignal.timeout(10_000))
    },
  }
}

test('rule sets come while it runs, change under their number, and are refused alone', { skip: needsRoot }, async t => {
  const { server, ask, change } = start(t, [set(1, '/a')])
  await server.upToDate(AbortSignal.timeout(10_000))
  assert.equal(await ask('/a'), 1)
  assert.equal(await ask('/b'), 403)
  await change([set(2, '/b'), set(13, '/x')], [])
  assert.equal(await ask('/b'), 2)
  assert.deepEqual(server.failures, [{ number: 13, error: 'unlucky' }])
  await change([set(1, '/c')], [])
  assert.deepEqual([await ask('/a'), await ask('/c'), await ask('/b')], [403, 1, 2])
  const many = Array.from({ length: 3_000 }, (_, at) => `/many/${at}/${'x'.repeat(40)}`)
  await change([set(3, ...many)], [])
  assert.deepEqual(await Promise.all([many[0], many[1_500], many[2_999]].map(one => ask(one ?? ''))), [3, 3, 3])
  // Lines of a set that is gone may stay, until its number says something else.
  await change([], [3])
  await change([set(3, '/again')], [])
  assert.deepEqual([await ask(many[7] ?? ''), await ask('/again')], [403, 3])
  assert.equal(await ask('/b'), 2)
})

test('killed, it is there again with everything, and who asks meanwhile waits', { skip: needsRoot }, async t => {
  const { server, ask, change } = start(t, [set(1, '/a')])
  await server.upToDate(AbortSignal.timeout(10_000))
  await change([set(2, '/b')], [])
  for (const kill of ['SIGKILL', 'SIGTERM'] as const) {
    const { pid } = server.status
    assert.ok(pid)
    process.kill(pid, kill)
    assert.deepEqual([await ask('/a'), await ask('/b')], [1, 2])
  }
  assert.equal(server.status.restarts, 2)
})

test('it is not root, and its lines come', { skip: needsRoot }, async t => {
  const { server, ask, events } = start(t, [set(1, '/a')])
  await server.upToDate(AbortSignal.timeout(10_000))
  const status = fs.readFileSync(`/proc/${server.status.pid}/status`, 'utf8')
  assert.doesNotMatch(status, /^Uid:\t0/m)
  assert.match(status, /^CapEff:\t0000000000002000$/m, 'CAP_NET_RAW alone')
  await ask('/a"b')
  for await (const item of events.follow(AbortSignal.timeout(10_000))) {
    assert.ok(item instanceof Buffer)
    assert.deepEqual(JSON.parse(item.toString()), { path: '/a"b', status: 403 })
    return
  }
  assert.fail('no line came')
})
