/** CmdSN ordering of one session, shared by all its connections (RFC 7143 section 4.2.2.1). */
import { serialAdd, serialLess } from '@platter/protocol/iscsi'

/** Where a non-immediate command stands in the session's order. */
export const Turn = { Next: 0, Early: 1, Outside: 2 } as const
export type Turn = (typeof Turn)[keyof typeof Turn]

/**
 * ExpCmdSN and MaxCmdSN. Each command takes one place of the window when its turn comes and gives it
 * back when it ends, so that at most `size` commands are ever in the target's hands.
 */
export class CommandWindow {
  readonly size: number
  expCmdSN: number
  maxCmdSN: number

  /** `firstCmdSN` is the CmdSN of the leading login: the first command carries it again. */
  constructor(firstCmdSN: number, size: number) {
    this.size = size
    this.expCmdSN = firstCmdSN
    this.maxCmdSN = serialAdd(firstCmdSN, size - 1)
  }

  /** Says what to do with a command: act, keep it until the gap before it is filled, or ignore it. */
  turn(cmdSN: number): Turn {
    if (cmdSN === this.expCmdSN) {
      // A full window has MaxCmdSN = ExpCmdSN - 1 (RFC 7143 section 4.2.2.1).
      return serialLess(this.maxCmdSN, cmdSN) ? Turn.Outside : Turn.Next
    }
    const ahead = serialLess(this.expCmdSN, cmdSN) && !serialLess(this.maxCmdSN, cmdSN)
    return ahead ? Turn.Early : Turn.Outside
  }

  /** The command whose turn it was is taken in. */
  advance(): void {
    this.expCmdSN = serialAdd(this.expCmdSN, 1)
  }

  /** The command taken in last has ended by a Reject: it is as if it had never come. */
  retreat(): void {
    this.expCmdSN = serialAdd(this.expCmdSN, -1)
    this.maxCmdSN = serialAdd(this.maxCmdSN, -1)
  }

  /** A command has ended: one more may be sent. */
  release(): void {
    this.maxCmdSN = serialAdd(this.maxCmdSN, 1)
  }
}
