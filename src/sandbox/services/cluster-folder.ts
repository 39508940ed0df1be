// The folder of what the sandbox's own control plane says: admitted Services, EndpointSlices. Agents follow it beside the
// users' folders. One file for each object, replaced as a whole and only when it differs.

import fs from 'node:fs'
import path from 'node:path'
import { formatOriginComment, objectKey } from '../../manifests/index.ts'
import { fileNameOf } from '../../sources/index.ts'

type ClusterMetadata = {
  readonly name: string
  readonly namespace?: string
  readonly [field: string]: unknown
}

export type ClusterObject = {
  readonly content: { readonly apiVersion: string; readonly kind: string; readonly metadata: ClusterMetadata }
  /** Where its author wrote it. */
  readonly origin?: { readonly file: string; readonly line: number }
}

export class ClusterFolder {
  readonly #folder: string
  readonly #written = new Map<string, string>()

  /** @param folder must exist */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** @throws the file system's errors */
  put({ content, origin }: ClusterObject): void {
    const name = nameOf(content)
    // On one line: whatever is told of the object is told of the line where its author begins it.
    const text = `${origin ? `${formatOriginComment(origin)}\n` : ''}${JSON.stringify(content)}\n`
    if (this.#written.get(name) === text) return
    const temporary = path.join(this.#folder, `.${name}.new`)
    fs.writeFileSync(temporary, text)
    fs.renameSync(temporary, path.join(this.#folder, name))
    this.#written.set(name, text)
  }

  delete(content: ClusterObject['content']): void {
    const name = nameOf(content)
    this.#written.delete(name)
    fs.rmSync(path.join(this.#folder, name), { force: true })
  }
}

const nameOf = ({ apiVersion, kind, metadata }: ClusterObject['content']): string =>
  fileNameOf(
    objectKey({
      apiVersion,
      kind,
      metadata: {
        name: metadata.name,
        namespace: metadata.namespace ?? 'default',
        labels: {},
        annotations: {},
      },
    }),
  )
