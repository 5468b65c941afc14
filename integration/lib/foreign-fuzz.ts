/**
 * Sequences of PDUs by which a host that is let in may try to reach what only another has. Each comes from its
 * seed and number alone, so that one that finds something can be had again.
 */
import {
  addressesOf,
  anyRequest,
  copiesWith,
  copyTargetsAt,
  type ForeignRequest,
  harmfulRequests,
  startManagement,
} from './foreign-requests.ts'
import { ForeignUnits, foreignLuns, type HeldWrite, secret } from './foreign-units.ts'
import { portOf } from './granted-hosts.ts'
import { Random } from './random.ts'
import type { Pdu, RawConnection } from './raw-connection.ts'
import { bhsBytes } from './raw-pdu.ts'
import { ServerHealth } from './server-health.ts'

export interface ForeignFuzzOptions {
  readonly seed: number
  /** The sequence to begin with. */
  readonly first?: number
  /** Asked before each sequence, with how many have been begun. */
  goOn(begun: number): boolean
}

export interface ForeignFuzzCounts {
  sequences: number
  answers: number
  rejects: number
}

const stepsMax = 24
/** Sequences between two looks at the units. */
const batch = 16
/** LUN of the partition that all hosts have. */
const commonLun = 0
const addresses = foreignLuns.flatMap(addressesOf)
/** INQUIRY, REPORT LUNS and REQUEST SENSE are answered at every LUN. */
const answeredAnywhere: readonly number[] = [0x03, 0x12, 0xa0]
const managementTags = 0x7d000000
const pingTag = 0x7e000000
/** Of a header, what may be anything without its being taken for another PDU, or for the end of one. */
const damageable = Array.from({ length: bhsBytes }, (_, at) => at).filter(
  (at) => (at > 0 && at < 4) || (at > 7 && at < 16) || at > 19,
)

export class ForeignFuzz {
  readonly units: ForeignUnits
  readonly #health: ServerHealth
  readonly #copies: readonly ForeignRequest[]

  private constructor(units: ForeignUnits, copies: readonly ForeignRequest[]) {
    this.units = units
    this.#copies = copies
    this.#health = new ServerHealth(units.hosts.target)
  }

  static async start(): Promise<ForeignFuzz> {
    const units = await ForeignUnits.start()
    const [common] = await copyTargetsAt(units.owner, commonLun)
    if (common === undefined) throw new Error(`LUN ${commonLun} has no name for a copy`)
    const copies: ForeignRequest[] = []
    for (const lun of foreignLuns) {
      const foreign = await copyTargetsAt(units.owner, lun)
      copies.push(...foreign.flatMap((target) => copiesWith(common, target)))
    }
    return new ForeignFuzz(units, copies)
  }

  /** Throws an Error that names seed and sequence when a host reaches what is not its own. */
  async fuzz({ seed, first = 0, goOn }: ForeignFuzzOptions): Promise<ForeignFuzzCounts> {
    const counts: ForeignFuzzCounts = { sequences: 0, answers: 0, rejects: 0 }
    while (goOn(counts.sequences)) {
      const held = await this.units.holdWrites()
      do {
        const index = first + counts.sequences++
        const fault = await this.#sequence(new Random(seed, index), held, counts).catch(String)
        if (fault !== undefined) throw new Error(`sequence ${index} of seed ${seed}: ${fault}`)
      } while (counts.sequences % batch !== 0 && goOn(counts.sequences))
      const complaints = [
        ...(await this.units.finishWrites(held)),
        ...(await this.units.complaints()),
      ]
      if (complaints.length === 0) continue
      const last = first + counts.sequences - 1
      throw new Error(`sequence ${last} of seed ${seed}, or just before: ${complaints.join('; ')}`)
    }
    return counts
  }

  /** What has become of the server; empty when all is well. */
  complaints(): string[] {
    return this.#health.complaints()
  }

  async #sequence(
    random: Random,
    held: readonly HeldWrite[],
    counts: ForeignFuzzCounts,
  ): Promise<string | undefined> {
    const isid = 1 + random.below(200)
    const host = await this.units.hosts.logIn('a', isid)
    const attempt = new Attempt(host, random, random.pick(held))
    const harmful = harmfulRequests(portOf('a', isid), portOf('a', isid + 1))
    for (let left = 1 + random.below(stepsMax); left > 0; left--) {
      const kind = random.below(100)
      if (kind < 3) attempt.sendData()
      else if (kind < 20) attempt.manage()
      else if (kind < 26) attempt.sendDamaged(random.pick(harmful))
      else if (kind < 36) attempt.send(random.pick(this.#copies), commonLun)
      else attempt.send(kind < 60 ? random.pick(harmful) : anyRequest(random))
    }
    const fault = await attempt.judge(counts)
    host.close()
    return fault
  }
}

/** What one session sends, and is told. */
class Attempt {
  readonly #host: RawConnection
  readonly #random: Random
  readonly #held: HeldWrite
  /** By task tag, of what was sent as it should be: what is wrong with an answer to it, if anything. */
  readonly #judges = new Map<number, (answer: Pdu) => string | undefined>()
  #damaged = false
  /** A reset of the target aborts what the host has in progress, which is not answered then. */
  #aborted = false

  constructor(host: RawConnection, random: Random, held: HeldWrite) {
    this.#host = host
    this.#random = random
    this.#held = held
  }

  send(request: ForeignRequest, lun: Buffer | number = this.#random.pick(addresses)): void {
    const { name, cdb, readBytes, dataOut } = request
    const tag = this.#host.startCommand(lun, cdb, readBytes, dataOut)
    this.#judges.set(tag, (answer) => {
      const fault = judgeCommand(cdb.readUInt8(0), answer)
      const at = typeof lun === 'number' ? lun : lun.toString('hex')
      return fault && `${name} at LUN ${at}, CDB ${cdb.toString('hex')}, ${fault}`
    })
  }

  /** Some bytes of the header are others; it may be for what is the host's own then. */
  sendDamaged({ cdb, readBytes, dataOut }: ForeignRequest): void {
    const random = this.#random
    this.#damaged = true
    this.#host.damage = (pdu) => {
      for (let count = 1 + random.below(3); count > 0; count--) {
        pdu[random.pick(damageable)] = random.below(256)
      }
    }
    this.#host.startCommand(random.pick(addresses), cdb, readBytes, dataOut)
    this.#host.damage = undefined
  }

  /** Data for the write of the owner. */
  sendData(): void {
    const random = this.#random
    const { lun, initiatorTaskTag, targetTransferTag } = this.#held
    this.#host.sendPdu({
      opcode: 0x05,
      flags: 0x80,
      lun: random.chance(50) ? lun : random.pick(addresses),
      initiatorTaskTag: random.chance(70) ? initiatorTaskTag : random.below(30),
      words: [random.chance(70) ? targetTransferTag : random.below(30), 0, this.#host.expStatSN],
      data: random.bytes(512),
    })
  }

  /** Task management by RFC 7143 and 7144, and by codes that neither knows. */
  manage(): void {
    const random = this.#random
    const fn = random.chance(3) ? 7 : random.pick([1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 127])
    const tag = startManagement(this.#host, {
      fn,
      lun: random.pick(addresses),
      referencedTaskTag: random.chance(70) ? this.#held.initiatorTaskTag : random.below(30),
      initiatorTaskTag: managementTags + this.#judges.size,
    })
    const resetsTarget = fn === 6 || fn === 7
    if (resetsTarget) this.#aborted = true
    this.#judges.set(tag, ({ bhs }) => {
      // A command that was damaged may wait for data still, and can be aborted.
      const isForOwn = resetsTarget || (fn === 1 && this.#damaged)
      return bhs[2] === 0 && !isForOwn ? `task management function ${fn} was done` : undefined
    })
  }

  #answerPing({ bhs }: Pdu): void {
    const { cmdSN, expStatSN } = this.#host
    const words = [bhs.readUInt32BE(20), cmdSN, expStatSN]
    this.#host.sendPdu({ opcode: 0x00, immediate: true, flags: 0x80, words })
  }

  /** Looks at all that comes until everything is answered, or the connection closed. */
  async judge(counts: ForeignFuzzCounts): Promise<string | undefined> {
    const host = this.#host
    const words = [0xffffffff, host.cmdSN, host.expStatSN]
    host.sendPdu({ opcode: 0x00, immediate: true, flags: 0x80, initiatorTaskTag: pingTag, words })
    // A command with another number may keep those behind it waiting.
    const isSure = !this.#damaged && !this.#aborted
    const awaited = new Set([...(isSure ? this.#judges.keys() : []), pingTag])
    const answered = new Set<number>()
    while (awaited.size > 0) {
      const pdu = await host.receive()
      if (pdu === null) return undefined
      if (pdu.data.includes(secret))
        return `it was told what is foreign, ${pdu.bhs.toString('hex')}`
      if (pdu.opcode === 0x3f) counts.rejects++
      if (![0x20, 0x21, 0x22, 0x25].includes(pdu.opcode)) continue
      const tag = pdu.bhs.readUInt32BE(16)
      // The target may want to know what has come before it answers a reset.
      if (pdu.opcode === 0x20 && tag !== pingTag) {
        this.#answerPing(pdu)
        continue
      }
      const fault = this.#judges.get(tag)?.(pdu)
      if (fault !== undefined) return fault
      if (pdu.opcode === 0x25 && (pdu.flags & 1) === 0) continue
      if (answered.has(tag)) return `task ${tag} was answered twice`
      counts.answers++
      answered.add(tag)
      awaited.delete(tag)
    }
    return undefined
  }
}

function judgeCommand(opcode: number, { opcode: kind, flags, bhs, data }: Pdu): string | undefined {
  const isData = kind === 0x25
  if (isData && opcode === 0x12 && data[0] !== 0x7f) return 'says that there is a unit'
  if (isData && opcode === 0xa0 && listsForeign(data)) return 'lists what is foreign'
  const isGood = bhs[3] === 0 && (!isData || (flags & 1) === 1)
  return isGood && !answeredAnywhere.includes(opcode) ? 'is GOOD' : undefined
}

function listsForeign(lunList: Buffer): boolean {
  for (let at = 8; at + 8 <= lunList.length; at += 8) {
    const lun = lunList.readUInt16BE(at) & 0x3fff
    if (foreignLuns.some((foreign) => foreign === lun)) return true
  }
  return false
}
