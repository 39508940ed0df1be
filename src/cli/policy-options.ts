// Options that several policy commands share.

import { Option } from 'commander'
import { ENFORCEMENT_MODES } from '../policy/index.ts'

export function enforcementOption(): Option {
  return new Option('--policy-enforcement <mode>', 'who is isolated where no policy says so')
    .choices(ENFORCEMENT_MODES)
    .default('default')
}
