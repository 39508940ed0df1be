// Policy routing rules: which table a packet's route is looked up in (struct
// fib_rule_hdr, FRA_*; source: include/uapi/linux/fib_rules.h). Functions describe
// requests; a NetlinkSocket carries them out.

import { cidr, type Family } from '../ip/index.ts'
import { AF_INET, AF_INET6 } from './addresses.ts'
import { FLAG, type Message } from './message.ts'
import type { Query, Request } from './netlink-socket.ts'
import { ipAddress, message, text, u8, u32 } from './wire.ts'

const RULE_ACTION = { lookup: 1, blackhole: 6, unreachable: 7, prohibit: 8 } as const
export type RuleAction = keyof typeof RULE_ACTION

export type RuleSpec = {
  readonly family: Family
  /** Lower is asked first. The kernel's own: 0 local table, 32766 main, 32767 default. */
  readonly priority: number
  /** `lookup` unless given. */
  readonly action?: RuleAction
  /** For `lookup`. */
  readonly table?: number
  readonly mark?: number
  /** All bits unless given. */
  readonly markMask?: number
  /** A prefix, such as `10.0.0.0/8`. */
  readonly source?: string
  readonly destination?: string
  readonly inputLink?: string
  readonly outputLink?: string
  /** Who made the rule (RTPROT_*). */
  readonly protocol?: number
}

export type Rule = {
  readonly family: Family
  readonly priority: number
  readonly action: RuleAction | number
  readonly table: number
  readonly mark: number | undefined
  readonly markMask: number | undefined
  readonly source: string | undefined
  readonly destination: string | undefined
  readonly inputLink: string | undefined
  readonly outputLink: string | undefined
  readonly protocol: number | undefined
}

const RULE_NEW = 32
const RULE_DELETE = 33
const RULE_GET = 34

const ruleMessage = message(
  12,
  {
    family: [0, u8],
    destinationLength: [1, u8],
    sourceLength: [2, u8],
    headerTable: [4, u8],
    action: [7, u8],
    flags: [8, u32],
  },
  {
    destination: [1, ipAddress],
    source: [2, ipAddress],
    inputLink: [3, text],
    priority: [6, u32],
    mark: [10, u32],
    table: [15, u32],
    markMask: [16, u32],
    outputLink: [17, text],
    protocol: [21, u8],
  },
)

/** EEXIST when there is the same rule. */
export function addRule(spec: RuleSpec): Request {
  return change('add', RULE_NEW, FLAG.create | FLAG.exclusive, spec)
}

/** ENOENT when there is no such rule. */
export function deleteRule(spec: RuleSpec): Request {
  return change('delete', RULE_DELETE, 0, spec)
}

/** In the order in which they are asked. */
export function allRules(of: { readonly family: Family }): Query<Rule> {
  const body = ruleMessage.encode({ family: of.family === 4 ? AF_INET : AF_INET6 })
  return { operation: `list IPv${of.family} rules`, type: RULE_GET, flags: 0, body, decode: decodeRule }
}

/** @returns undefined for families other than IPv4 and IPv6. @throws NetlinkFormatError */
export function decodeRule({ body }: Message): Rule | undefined {
  const fields = ruleMessage.decode(body)
  if (fields.family !== AF_INET && fields.family !== AF_INET6) return undefined
  const { action } = fields
  return {
    family: fields.family === AF_INET ? 4 : 6,
    priority: fields.priority ?? 0,
    action: (Object.keys(RULE_ACTION) as RuleAction[]).find(name => RULE_ACTION[name] === action) ?? action,
    table: fields.table ?? fields.headerTable,
    mark: fields.mark,
    markMask: fields.markMask,
    source: fields.source && `${fields.source}/${fields.sourceLength}`,
    destination: fields.destination && `${fields.destination}/${fields.destinationLength}`,
    inputLink: fields.inputLink,
    outputLink: fields.outputLink,
    protocol: fields.protocol,
  }
}

function change(verb: string, type: number, flags: number, spec: RuleSpec): Request {
  const { family, table, priority, action = 'lookup' } = spec
  const source = prefixOf(spec.source)
  const destination = prefixOf(spec.destination)
  const target = action === 'lookup' ? `lookup ${table}` : action
  return {
    operation: `${verb} IPv${family} rule ${priority}: ${target}`,
    type,
    flags,
    body: ruleMessage.encode({
      family: family === 4 ? AF_INET : AF_INET6,
      sourceLength: source?.length,
      destinationLength: destination?.length,
      headerTable: table !== undefined && table < 256 ? table : 0,
      action: RULE_ACTION[action],
      destination: destination?.address,
      source: source?.address,
      inputLink: spec.inputLink,
      outputLink: spec.outputLink,
      priority,
      mark: spec.mark,
      markMask: spec.markMask,
      table,
      protocol: spec.protocol,
    }),
  }
}

function prefixOf(text: string | undefined): { address: string; length: number } | undefined {
  if (text === undefined) return undefined
  const { prefixLength, text: canonical } = cidr(text)
  return { address: canonical.slice(0, canonical.indexOf('/')), length: prefixLength }
}
