/** Whether targets number what they send as RFC 7143 sections 3.2 and 4.2.2 ask. */
import {
  describePdu,
  Opcode,
  serialAdd,
  serialLess,
  serialLessOrEqual,
} from '@platter/protocol/iscsi'
import type { CapturedFrame } from './pdu-stream.ts'

/** Where all that a target sends has them. */
const Offset = { initiatorTaskTag: 16, statSN: 24, expCmdSN: 28, maxCmdSN: 32 } as const
const reservedTag = 0xffffffff
const statusBit = 0x01

/**
 * Holds each connection to its numbers, one line for each breach: StatSN goes up by one with each
 * status, and what else tells it tells the next; ExpCmdSN and MaxCmdSN never go back, and MaxCmdSN is
 * at least ExpCmdSN - 1.
 */
export function numberingComplaints(frames: ReadonlyMap<number, CapturedFrame>): string[] {
  const connections = new Map<string, TargetNumbers>()
  const complaints: string[] = []
  for (const [frame, { connection, sender, pdus, afterGap, afterComplaint }] of frames) {
    if (sender !== 'target' || afterGap || afterComplaint) continue
    const numbers = connections.get(connection) ?? new TargetNumbers()
    connections.set(connection, numbers)
    for (const { header } of pdus) {
      const found = numbers.take(header)
      const where = `frame ${frame}, from the target`
      complaints.push(...found.map((text) => `${where}: ${text} [${describePdu(header)}]`))
    }
  }
  return complaints
}

/** What one connection has told of its numbers. */
class TargetNumbers {
  #nextStatSN: number | undefined
  #expCmdSN: number | undefined
  #maxCmdSN: number | undefined

  /** Takes in the next header; answers with what is wrong with it. */
  take(header: Buffer): string[] {
    // A login that is refused says nothing of them (section 11.13.4).
    const isRefusal = opcodeOf(header) === Opcode.LoginResponse && header.readUInt8(36) !== 0
    return isRefusal ? [] : [...this.#takeStatSN(header), ...this.#takeWindow(header)]
  }

  #takeStatSN(header: Buffer): string[] {
    const kind = statSNIn(header)
    if (kind === 'none') return []
    const statSN = header.readUInt32BE(Offset.statSN)
    const wanted = this.#nextStatSN ?? statSN
    this.#nextStatSN = kind === 'own' ? serialAdd(statSN, 1) : statSN
    return statSN === wanted ? [] : [`StatSN is ${statSN}, wanted ${wanted}`]
  }

  #takeWindow(header: Buffer): string[] {
    const expCmdSN = header.readUInt32BE(Offset.expCmdSN)
    const maxCmdSN = header.readUInt32BE(Offset.maxCmdSN)
    const complaints: string[] = []
    const before = { expCmdSN: this.#expCmdSN ?? expCmdSN, maxCmdSN: this.#maxCmdSN ?? maxCmdSN }
    if (serialLess(expCmdSN, before.expCmdSN)) {
      complaints.push(`ExpCmdSN goes back from ${before.expCmdSN} to ${expCmdSN}`)
    }
    if (serialLess(maxCmdSN, before.maxCmdSN)) {
      complaints.push(`MaxCmdSN goes back from ${before.maxCmdSN} to ${maxCmdSN}`)
    }
    if (!serialLessOrEqual(serialAdd(expCmdSN, -1), maxCmdSN)) {
      complaints.push(`MaxCmdSN is ${maxCmdSN}, and ExpCmdSN ${expCmdSN}`)
    }
    this.#expCmdSN = expCmdSN
    this.#maxCmdSN = maxCmdSN
    return complaints
  }
}

function opcodeOf(header: Buffer): number {
  return header.readUInt8(0) & 0x3f
}

/** Whether a PDU has a StatSN of its own, tells the next, or has none. */
function statSNIn(header: Buffer): 'own' | 'next' | 'none' {
  const opcode = opcodeOf(header)
  if (opcode === Opcode.ReadyToTransfer) return 'next'
  if (opcode === Opcode.DataIn) return (header.readUInt8(1) & statusBit) !== 0 ? 'own' : 'none'
  if (opcode !== Opcode.NopIn) return 'own'
  return header.readUInt32BE(Offset.initiatorTaskTag) === reservedTag ? 'next' : 'own'
}
