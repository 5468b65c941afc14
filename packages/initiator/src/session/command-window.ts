/**
 * CmdSN and the window that the target grants for it (RFC 7143 section 4.2.2.1). One for a session:
 * all its connections share it.
 */
import { serialAdd, serialLess, serialLessOrEqual } from '@platter/protocol/iscsi'

export class CommandWindow {
  #cmdSN: number
  #maxCmdSN: number

  /** `cmdSN` is that of the login, and of the first command after it. */
  constructor(cmdSN: number) {
    this.#cmdSN = cmdSN
    this.#maxCmdSN = serialAdd(cmdSN, -1)
  }

  /** The CmdSN of the next command; immediate ones carry it without using it up. */
  get cmdSN(): number {
    return this.#cmdSN
  }

  /** Whether the target takes one more command that is not immediate. */
  get open(): boolean {
    return serialLessOrEqual(this.#cmdSN, this.#maxCmdSN)
  }

  /** Uses up a CmdSN; the window must be open. */
  take(): number {
    const taken = this.#cmdSN
    this.#cmdSN = serialAdd(taken, 1)
    return taken
  }

  /**
   * Takes in what a PDU from the target says. PDUs of several connections may overtake one another,
   * so MaxCmdSN never goes back, and an impossible pair is ignored, as the standard demands.
   */
  update(expCmdSN: number, maxCmdSN: number): void {
    if (serialLess(maxCmdSN, serialAdd(expCmdSN, -1))) return
    if (serialLess(this.#maxCmdSN, maxCmdSN)) this.#maxCmdSN = maxCmdSN
  }
}
