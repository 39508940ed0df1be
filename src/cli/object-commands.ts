// `axoneme apply`, `delete` and `get`: the objects of a sandbox, in the folder that its
// agents watch. Every object is checked before it is stored, so a faulty one is refused
// with the field and the line, and the last good one stays in force.

import fs from 'node:fs'
import { Command, Option } from 'commander'
import { readIntent } from '../controllers/index.ts'
import {
  formatProblem,
  type ManifestObject,
  namespaceOf,
  objectKey,
  objectName,
  type Problem,
  parseManifests,
} from '../manifests/index.ts'
import {
  admissionCheck,
  isDeployment,
  readDeployment,
  whenServicesTaken,
  withClusterObjects,
} from '../sandbox/index.ts'
import { type ObjectCheck, ObjectStore, type StoredObject } from '../sources/index.ts'
import { colours as pc } from './colours.ts'
import { objectsFolder } from './connection.ts'
import { ManifestError, manifestFiles, readManifestText } from './manifest-files.ts'
import { OUTPUT_FORMATS, type OutputFormat, tableText } from './output.ts'

type StoreOptions = { readonly sandbox: string; readonly objects?: string }
type FileOptions = StoreOptions & { readonly filename: readonly string[] }

const storing = (name: string, description: string): Command =>
  new Command(name)
    .description(description)
    .addOption(new Option('--sandbox <name>', 'the sandbox that is meant').env('AXONEME_SANDBOX').default('default'))
    .option('--objects <folder>', 'the object folder itself, instead of that of a sandbox')

export function applyCommand(): Command {
  return storing('apply', 'create or change the objects of manifests')
    .requiredOption('-f, --filename <path...>', 'files and folders; - is standard input')
    .action(async (options: FileOptions) => {
      const admit = options.objects === undefined ? admissionCheck(options.sandbox) : () => []
      const applied: ManifestObject[] = []
      forEachFile(options, (store, text, file) => {
        const { outcomes, problems } = store.apply(text, file, object => checked(object, admit))
        applied.push(...outcomes.filter(({ outcome }) => outcome !== 'refused').map(({ object }) => object))
        return { lines: outcomes.map(({ object, outcome }) => `${objectName(object)} ${outcome}`), problems }
      })
      await settle(options, { applied: applied.filter(isService) })
    })
}

export function deleteCommand(): Command {
  return storing('delete', 'delete the objects of manifests')
    .requiredOption('-f, --filename <path...>', 'files and folders; - is standard input')
    .action(async (options: FileOptions) => {
      const deleted: string[] = []
      forEachFile(options, (store, text, file) => {
        const parsed = parseManifests(text, file)
        const services = new Set(parsed.objects.filter(isService).map(objectKey))
        const names = new Map(parsed.objects.map(object => [objectKey(object), objectName(object)]))
        const { outcomes, problems } = store.delete(names.keys())
        const gone = outcomes.filter(({ key, outcome }) => outcome === 'deleted' && services.has(key))
        deleted.push(...gone.map(({ key }) => key))
        const lines = outcomes.map(({ key, outcome }) => `${names.get(key)} ${outcome}`)
        return { lines, problems: [...parsed.problems, ...problems] }
      })
      await settle(options, { deleted })
    })
}

/** What an object's own rules say, and, if they allow it, what the control plane says. */
function checked(object: ManifestObject, admit: ObjectCheck): readonly Problem[] {
  if (isDeployment(object)) return readDeployment(object).problems
  const { problems } = readIntent(object)
  return problems.some(({ severity }) => severity === 'error') ? problems : [...problems, ...admit(object)]
}

const isService = ({ apiVersion, kind }: ManifestObject): boolean => apiVersion === 'v1' && kind === 'Service'

/** So that who asks for a Service after this command finds what it was given. */
async function settle(options: StoreOptions, services: Parameters<typeof whenServicesTaken>[1]): Promise<void> {
  if (options.objects !== undefined) return
  if (!(await whenServicesTaken(options.sandbox, services)))
    console.error(
      pc.yellow(`sandbox ${options.sandbox} has not taken the services in yet; see \`axoneme sandbox status\``),
    )
}

export function getCommand(): Command {
  return storing('get', 'list the objects of a sandbox, or print one')
    .argument('[kind]', 'such as pod, networkpolicy')
    .argument('[name]', 'name of the object')
    .option('-f, --filename <path...>', 'only the objects of these files and folders; - is standard input')
    .option('-n, --namespace <name>', 'only this namespace')
    .addOption(new Option('-o, --output <format>', 'how to print').choices(OUTPUT_FORMATS).default('table'))
    .action((kind: string | undefined, name: string | undefined, options: GetOptions) => {
      const named = options.filename && new Set(options.filename.flatMap(manifestFiles).flatMap(keysOf))
      const stored = storeOf(options).get()
      const found = (options.objects === undefined ? withClusterObjects(options.sandbox, stored) : stored)
        .filter(({ object }) => isAsked(object, kind, name, options.namespace))
        .filter(({ object }) => !named || named.has(objectKey(object)))
      if (found.length === 0 && name)
        throw new ManifestError(`there is no ${kind} ${name} in ${options.objects ?? `sandbox ${options.sandbox}`}`)
      printObjects(found, options.output)
    })
}

type GetOptions = StoreOptions & {
  readonly filename?: readonly string[]
  readonly namespace?: string
  readonly output: OutputFormat
}

const keysOf = (file: string): string[] => parseManifests(readManifestText(file), file).objects.map(objectKey)

function isAsked(object: ManifestObject, kind?: string, name?: string, namespace?: string): boolean {
  const wanted = kind?.toLowerCase()
  const own = object.kind.toLowerCase()
  if (wanted && ![own, `${own}s`, own.replace(/y$/, 'ies')].includes(wanted)) return false
  if (name && object.metadata.name !== name) return false
  return !namespace || namespaceOf(object) === namespace
}

function printObjects(found: readonly StoredObject[], output: OutputFormat): void {
  const objects = found.map(({ object }) => object)
  if (output === 'json')
    console.log(
      JSON.stringify(
        objects.map(object => object.content),
        undefined,
        2,
      ),
    )
  else if (output === 'yaml') console.log(found.map(({ text }) => text.trimEnd()).join('\n---\n'))
  else
    console.log(
      tableText(
        ['KIND', 'NAMESPACE', 'NAME', 'ORIGIN'],
        objects.map(object => [
          object.kind,
          namespaceOf(object),
          object.metadata.name,
          `${object.origin.file}:${object.origin.line}`,
        ]),
      ),
    )
}

type FileAction = (
  store: ObjectStore,
  text: string,
  file: string,
) => { readonly lines: readonly string[]; readonly problems: readonly Problem[] }

/** Does it for each file, tells what became of each object, and ends with 1 when any was refused. */
function forEachFile(options: FileOptions, action: FileAction): void {
  const store = storeOf(options)
  for (const file of options.filename.flatMap(manifestFiles)) {
    const { lines, problems } = action(store, readManifestText(file), file === '-' ? '(standard input)' : file)
    for (const problem of problems) {
      const isError = problem.severity === 'error'
      console.error(isError ? pc.red(formatProblem(problem)) : pc.yellow(formatProblem(problem)))
      if (isError) process.exitCode = 1
    }
    for (const line of lines) console.log(line)
  }
}

function storeOf(options: StoreOptions): ObjectStore {
  const folder = options.objects ?? objectsFolder(options)
  try {
    fs.accessSync(folder, fs.constants.R_OK | fs.constants.X_OK)
  } catch (cause) {
    throw new ManifestError(whyNoStore(options, folder, (cause as NodeJS.ErrnoException).code), { cause })
  }
  return new ObjectStore(folder)
}

function whyNoStore({ objects, sandbox }: StoreOptions, folder: string, code: string | undefined): string {
  if (code !== 'ENOENT') return `${folder} cannot be read (${code}): only root can use it; run this with sudo`
  return objects
    ? `there is no folder ${folder}`
    : `sandbox ${sandbox} is not up: start it with \`axoneme sandbox up --name ${sandbox}\``
}
