// Where a stored object came from. The object store (sources/objects.ts) keeps each
// object in a file of its own whose first line says which of the user's files and
// lines it was taken from; positions are then told in the user's file.

/** The file and the 1-based line that the line after the comment was taken from. */
export type OriginComment = { readonly file: string; readonly line: number }

/** `# axoneme: origin=policies/web.yaml:12`, without the line's end. Control characters and `%` are percent-encoded. */
export function formatOriginComment({ file, line }: OriginComment): string {
  return `# axoneme: origin=${file.replace(/%|\p{Cc}|\p{Zl}|\p{Zp}/gu, encodeURIComponent)}:${line}`
}

/** The origin that the first line of a text tells, if it does. */
export function parseOriginComment(text: string): OriginComment | undefined {
  const [, file, line] = /^# axoneme: origin=([^\r\n]+):([1-9]\d{0,8})(?=\r?\n|$)/.exec(text) ?? []
  if (file === undefined || line === undefined) return undefined
  try {
    return { file: decodeURIComponent(file), line: Number(line) }
  } catch {
    // Not one of ours: a '%' that encodes nothing. Then it is an ordinary comment.
    return undefined
  }
}
