/**
 * Units that one host has and another has not, and what must be true of them whatever the other does. Both
 * hosts have shown that they know their secrets.
 */
import { noise } from './attacked-target.ts'
import { flatLun } from './foreign-requests.ts'
import { GrantedHosts } from './granted-hosts.ts'
import type { RawConnection } from './raw-connection.ts'
import { transferCdb } from './raw-pdu.ts'

const KiB = 1024
/** LUNs that b has, and a has not. */
export const foreignLuns = [2, 300] as const
/** What is stored there says this, over and over. */
export const secret = noise(3, 32)
export const content = Buffer.alloc(4 * KiB, secret)
const blocks = content.length / 512
/** Where the writes that wait for their data are to go. */
const heldLba = 64
const readKeys = Buffer.from([0x5e, 0, 0, 0, 0, 0, 0, 0, 64, 0])

/** A write of the owner, of which the target has asked for all data, and got none. */
export interface HeldWrite {
  readonly lun: Buffer
  readonly initiatorTaskTag: number
  readonly targetTransferTag: number
}

export class ForeignUnits {
  readonly hosts: GrantedHosts
  readonly owner: RawConnection

  private constructor(hosts: GrantedHosts, owner: RawConnection) {
    this.hosts = hosts
    this.owner = owner
  }

  static async start(): Promise<ForeignUnits> {
    const hosts = await GrantedHosts.start({ authenticated: true })
    const units = new ForeignUnits(hosts, await hosts.logIn('b'))
    for (const lun of foreignLuns) {
      const { status } = await units.owner.command(
        flatLun(lun),
        transferCdb('write', 0, blocks),
        0,
        content,
      )
      if (status !== 0) throw new Error(`the first write to LUN ${lun} got status ${status}`)
    }
    return units
  }

  /** Begins a write to each unit. */
  async holdWrites(): Promise<HeldWrite[]> {
    const held: HeldWrite[] = []
    for (const lun of foreignLuns.map(flatLun)) {
      const { owner } = this
      const initiatorTaskTag = 0x77000000 | owner.cmdSN
      owner.sendPdu({
        opcode: 0x01,
        flags: 0xa1,
        lun,
        initiatorTaskTag,
        words: [content.length, owner.cmdSN++, owner.expStatSN],
        cdb: transferCdb('write', heldLba, blocks),
      })
      const readyToTransfer = await this.#receive(0x31, initiatorTaskTag)
      held.push({ lun, initiatorTaskTag, targetTransferTag: readyToTransfer.readUInt32BE(20) })
    }
    return held
  }

  /** Sends the data of these writes; what is wrong with how they end. */
  async finishWrites(held: readonly HeldWrite[]): Promise<string[]> {
    const complaints: string[] = []
    for (const { lun, initiatorTaskTag, targetTransferTag } of held) {
      this.owner.sendPdu({
        opcode: 0x05,
        flags: 0x80,
        lun,
        initiatorTaskTag,
        words: [targetTransferTag, 0, this.owner.expStatSN],
        data: content,
      })
      const status = (await this.#receive(0x21, initiatorTaskTag))[3]
      if (status !== 0) complaints.push(`the write of the owner ends with status ${status}`)
    }
    return complaints
  }

  /** What is not as it was: the content, the registrations, or that nothing happened to the units. */
  async complaints(): Promise<string[]> {
    const complaints: string[] = []
    for (const lun of foreignLuns) {
      const at = flatLun(lun)
      const { status, data } = await this.owner.command(
        at,
        transferCdb('read', 0, blocks),
        content.length,
      )
      if (status !== 0) complaints.push(`LUN ${lun}: its owner's READ gets status ${status}`)
      else if (!data.equals(content)) complaints.push(`LUN ${lun}: what is there has changed`)
      const keys = await this.owner.command(at, readKeys, 64)
      if (!keys.data.equals(Buffer.alloc(64))) {
        complaints.push(`LUN ${lun}: registered is ${keys.data.toString('hex')}`)
      }
    }
    return complaints
  }

  async #receive(opcode: number, initiatorTaskTag: number): Promise<Buffer> {
    for (;;) {
      const pdu = await this.owner.receive()
      if (pdu === null) throw new Error('the connection of the owner was closed')
      if (pdu.bhs.readUInt32BE(16) !== initiatorTaskTag) continue
      if (pdu.opcode === opcode) return pdu.bhs
      throw new Error(
        `a PDU of opcode 0x${opcode.toString(16)} wanted, got ${pdu.bhs.toString('hex')}`,
      )
    }
  }
}
