// `axoneme crds`: the CustomResourceDefinitions of the policy kinds, for a cluster's API
// server. Needs no agent and no root.

import { Command } from 'commander'
import { stringify } from 'yaml'
import { customResourceDefinitions } from '../policy/index.ts'
import { ManifestError } from './manifest-files.ts'

export function crdsCommand(): Command {
  return new Command('crds')
    .description('print the CustomResourceDefinitions of the policy kinds; needs no agent and no root')
    .argument('[kind...]', 'only these, such as CiliumNetworkPolicy')
    .action((kinds: readonly string[]) => {
      console.log(definitionsOf(kinds).map(yamlText).join('---\n').trimEnd())
    })
}

function definitionsOf(kinds: readonly string[]): readonly object[] {
  try {
    return customResourceDefinitions(kinds)
  } catch (error) {
    if (error instanceof RangeError) throw new ManifestError(error.message, { cause: error })
    throw error
  }
}

const yamlText = (definition: object): string => stringify(definition, { aliasDuplicateObjects: false, lineWidth: 0 })
