// What the DNS server counts, for status. Every limit has a count of what it turned away.

export type DnsCounts = {
  questions: number
  refused: number
  /** Could not be read, or came from where nobody should ask. */
  unreadable: number
  answered: number
  /** By the server, in time. */
  unanswered: number
  /** Datagrams to an open question that are no answer to it: late, of somebody else, or forged. */
  mismatched: number
  /** Open questions, or connections, beyond what one pod or all may have. */
  overLimit: number
  /** System calls that failed. */
  failed: number
  /** Answers that waited for the agent. */
  held: number
  /** Of them, those that were passed on before the agent had confirmed them: the kernel denies what they teach. */
  heldInVain: number
  /** Addresses that were given their identity here, while no agent was there. */
  standIn: number
  /** Names that the agent will not hear of, because too many were waiting, or because it refused them. */
  untaught: number
}

export const noCounts = (): DnsCounts => ({
  questions: 0,
  refused: 0,
  unreadable: 0,
  answered: 0,
  unanswered: 0,
  mismatched: 0,
  overLimit: 0,
  failed: 0,
  held: 0,
  heldInVain: 0,
  standIn: 0,
  untaught: 0,
})
