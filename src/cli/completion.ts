// Shell completion: a script for bash, zsh or fish that asks `axoneme __complete` for
// candidates, so that scripts never go stale: the commands themselves are the list.

import { Argument, Command, type Option } from 'commander'

const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `_axoneme() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(axoneme __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _axoneme axoneme`,
  zsh: `#compdef axoneme
_axoneme() {
  local -a candidates
  candidates=(\${(f)"$(axoneme __complete -- "\${words[@]:1:$((CURRENT-1))}" 2>/dev/null)"})
  compadd -a candidates || _files
}
compdef _axoneme axoneme`,
  fish: `complete -c axoneme -a '(axoneme __complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'`,
}

export function completionCommand(): Command {
  return new Command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>').choices(Object.keys(SCRIPTS)))
    .addHelpText('after', '\nFor bash: source <(axoneme completion bash)')
    .action((shell: string) => console.log(SCRIPTS[shell]))
}

/** The hidden command behind the scripts. @param program the whole command line */
export function completeCommand(program: Command): Command {
  return new Command('__complete')
    .argument('[words...]')
    .action((words: readonly string[]) => console.log(candidates(program, words).join('\n')))
}

/**
 * What may stand for the last word, given those before it. Nothing where only files or names of the user's can: the
 * shell then completes files.
 */
export function candidates(program: Command, words: readonly string[]): string[] {
  const last = words.at(-1) ?? ''
  let command = program
  let option: Option | undefined
  for (const word of words.slice(0, -1)) {
    // What follows an option that takes a value is that value, whatever else it may be called.
    const isValue = option !== undefined
    option = isValue
      ? undefined
      : command.options.find(each => takesValue(each) && [each.long, each.short].includes(word))
    if (!isValue) command = command.commands.find(each => each.name() === word) ?? command
  }
  const names = option
    ? (option.argChoices ?? [])
    : [
        ...command.commands.map(each => each.name()).filter(name => !name.startsWith('__')),
        ...command.registeredArguments.flatMap(argument => argument.argChoices ?? []),
        ...command.options.flatMap(each => each.long ?? []),
      ]
  return names.filter(name => name.startsWith(last))
}

const takesValue = ({ required, optional }: Option): boolean => required || optional
