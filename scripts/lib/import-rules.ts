// The import rules of the project as data. An area is a folder of `src`, or one of `test`, `bench` and `scripts`. This file says what
// each may import; `imports.ts` reads imports out of files and judges them. Why the order is as it is:
// docs/decisions/0001-import-order.md.

export type ExtraEdge = {
  readonly from: string
  readonly to: string
  /** Why the order does not serve here. */
  readonly because: string
}

export type ImportRules = {
  /** Lowest first. An area may import the areas of lower levels, never a sibling or a higher one. */
  readonly levels: readonly (readonly string[])[]
  /** Areas that may import less than their level allows: only these. */
  readonly onlyFrom: Readonly<Record<string, readonly string[]>>
  /**
   * The levels of the folders inside an area, where these have an order of their own; lowest first. Files that lie beside
   * the folders, such as `index.ts`, stand above them all. Tests may import any folder, and files in a `testing` folder
   * serve tests.
   */
  readonly folderLevels: Readonly<Record<string, readonly (readonly string[])[]>>
  /** The exceptions, each with its reason. */
  readonly extraEdges: readonly ExtraEdge[]
  /** Areas that import no `node:` module, so that they are deterministic and can run in a browser. Their tests may. */
  readonly pureAreas: readonly string[]
  /** Node's modules that reach outside the process, and the only areas that may import them. Tests may everywhere. */
  readonly inputOutputModules: readonly string[]
  readonly inputOutputAreas: readonly string[]
  /** npm packages that belong to one area. */
  readonly packageOwners: Readonly<Record<string, readonly string[]>>
}

export const IMPORT_RULES: ImportRules = {
  levels: [
    ['sys', 'ip', 'regex'],
    ['bpf', 'net', 'packet', 'state', 'labels', 'manifests'],
    ['policy', 'services'],
    ['http', 'dns', 'kafka'],
    ['maps', 'tables'],
    ['trace'],
    ['sources', 'controllers', 'reconcilers', 'observe', 'api'],
    ['agent', 'proxy', 'cli'],
    ['sandbox', 'test', 'bench'],
    ['scripts'],
  ],
  onlyFrom: {
    policy: ['ip', 'regex', 'labels', 'manifests'],
    services: ['ip', 'labels', 'manifests'],
    scripts: [],
  },
  folderLevels: {
    policy: [['model'], ['engine', 'kinds'], ['cluster', 'crd'], ['explain', 'expect', 'diff'], ['lint'], ['testing']],
  },
  extraEdges: [
    { from: 'cli', to: 'agent', because: '`axoneme agent` is a command' },
    { from: 'cli', to: 'proxy', because: '`axoneme proxy` is a command' },
    { from: 'cli', to: 'sandbox', because: '`axoneme sandbox` is a command' },
    { from: 'test', to: 'sandbox', because: 'end-to-end tests run in the sandbox' },
    { from: 'test', to: 'bench', because: 'what is measured against must be right too' },
    { from: 'bench', to: 'sandbox', because: 'benchmarks measure the sandbox' },
  ],
  pureAreas: ['policy', 'services', 'http', 'dns', 'kafka', 'labels', 'ip', 'regex', 'manifests', 'packet', 'trace'],
  inputOutputModules: [
    'child_process',
    'cluster',
    'dgram',
    'dns',
    'fs',
    'http',
    'http2',
    'https',
    'inspector',
    'module',
    'net',
    'readline',
    'repl',
    'sqlite',
    'tls',
    'worker_threads',
  ],
  inputOutputAreas: [
    'sources',
    'reconcilers',
    'net',
    'bpf',
    'sys',
    'agent',
    'proxy',
    'cli',
    'sandbox',
    'api',
    'test',
    'bench',
    'scripts',
  ],
  packageOwners: { koffi: ['sys'] },
}
