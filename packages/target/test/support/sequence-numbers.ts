import { describePdu, Opcode, serialAdd, serialLess } from '@platter/protocol/iscsi'

/** StatSN, ExpCmdSN and MaxCmdSN of what a target sends, held against RFC 7143 section 4.2.2. */
export class SequenceNumbers {
  #statSN: number | undefined
  #expCmdSN: number | undefined
  #maxCmdSN: number | undefined

  /** What has been received is acknowledged. */
  get expStatSN(): number {
    return this.#statSN ?? 0
  }

  check(header: Buffer): void {
    const opcode = (header[0] as number) & 0x3f
    const dataIn = opcode === Opcode.DataIn
    const asks = opcode === Opcode.ReadyToTransfer
    const pings = opcode === Opcode.NopIn && header.readUInt32BE(16) === 0xffffffff
    const failedLogin = opcode === Opcode.LoginResponse && header.readUInt16BE(36) !== 0
    if (failedLogin) return
    const statSN = header.readUInt32BE(24)
    if (!dataIn || ((header[1] as number) & 1) !== 0) {
      if (this.#statSN !== undefined && statSN !== this.#statSN) {
        throw new Error(`StatSN ${statSN}, wanted ${this.#statSN}: ${describePdu(header)}`)
      }
      this.#statSN = asks || pings ? statSN : (statSN + 1) >>> 0
    }
    const [expCmdSN, maxCmdSN] = [header.readUInt32BE(28), header.readUInt32BE(32)]
    const back = (now: number, before = now) => serialLess(now, before)
    if (back(expCmdSN, this.#expCmdSN) || back(maxCmdSN, this.#maxCmdSN)) {
      throw new Error(`a sequence number went back: ${describePdu(header)}`)
    }
    if (serialLess(maxCmdSN, serialAdd(expCmdSN, -1))) {
      throw new Error(`MaxCmdSN ${maxCmdSN} is below ExpCmdSN ${expCmdSN} - 1`)
    }
    this.#expCmdSN = expCmdSN
    this.#maxCmdSN = maxCmdSN
  }
}
