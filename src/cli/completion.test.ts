// What a shell is offered for the word that is being written.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Command, Option } from 'commander'
import { candidates } from './completion.ts'

const program = new Command('axoneme')
  .addCommand(new Command('status').addOption(new Option('-o, --output <format>').choices(['table', 'json', 'yaml'])))
  .addCommand(new Command('apply').option('-f, --filename <path...>').option('--sandbox <name>').option('--dry'))
  .addCommand(
    new Command('sandbox')
      .option('--config <file>')
      .addCommand(new Command('up').option('--name <name>'))
      .addCommand(new Command('down')),
  )
  .addCommand(new Command('completion').argument('<shell>'))
  .addCommand(new Command('__complete'), { hidden: true })
program.commands.find(command => command.name() === 'completion')?.registeredArguments[0]?.choices(['bash', 'zsh'])

const cases: readonly { readonly name: string; readonly given: readonly string[]; readonly want: readonly string[] }[] =
  [
    {
      name: 'the first word: every command but the hidden one',
      given: [''],
      want: ['status', 'apply', 'sandbox', 'completion'],
    },
    { name: 'no word at all', given: [], want: ['status', 'apply', 'sandbox', 'completion'] },
    { name: 'a word that is begun', given: ['s'], want: ['status', 'sandbox'] },
    { name: 'a word that nothing begins with', given: ['x'], want: [] },
    { name: 'options of a command', given: ['status', '--'], want: ['--output'] },
    { name: 'the choices of an option', given: ['status', '--output', 'j'], want: ['json'] },
    {
      name: 'the choices of an option under its short name',
      given: ['status', '-o', ''],
      want: ['table', 'json', 'yaml'],
    },
    {
      name: 'after an option with its value, options again',
      given: ['status', '-o', 'json', '--'],
      want: ['--output'],
    },
    { name: 'an option whose value is a file', given: ['apply', '-f', ''], want: [] },
    {
      name: 'an option without a value is followed by anything',
      given: ['apply', '--dry', '--s'],
      want: ['--sandbox'],
    },
    { name: 'commands of a command', given: ['sandbox', ''], want: ['up', 'down', '--config'] },
    { name: 'options of a command of a command', given: ['sandbox', 'up', '-'], want: ['--name'] },
    {
      name: 'a value that is called as a command is',
      given: ['sandbox', '--config', 'up', ''],
      want: ['up', 'down', '--config'],
    },
    { name: 'the choices of an argument', given: ['completion', 'b'], want: ['bash'] },
  ]

for (const { name, given, want } of cases) test(name, () => assert.deepEqual(candidates(program, given), want))
