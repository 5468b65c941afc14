/**
 * A server with two LUNs and a session that reads one of them all the time: for tests that send
 * nonsense at the other, and look what else has changed.
 */
import { createHash } from 'node:crypto'
import { Bystander } from './bystander.ts'
import { temporaryDirectory } from './cleanup.ts'
import { residentBytes } from './memory.ts'
import { RawConnection } from './raw-connection.ts'
import { synchronizeCacheCdb, transferCdb } from './raw-pdu.ts'
import { TargetProcess } from './target-process.ts'

const KiB = 1024
const MiB = 1024 * KiB
export const lunBytes = 8 * MiB
export const initiatorName = 'iqn.2026-11.org.platter:raw'

/** Bytes that look random and are the same in every run. */
export function noise(seed: number, length: number): Buffer {
  const parts: Buffer[] = []
  for (let index = 0; index * 32 < length; index++) {
    parts.push(createHash('sha256').update(`${seed}.${index}`).digest())
  }
  return Buffer.concat(parts).subarray(0, length)
}

export class AttackedTarget {
  readonly process: TargetProcess
  readonly targetName: string
  readonly watchedLun: number
  readonly attackedLun: number
  /** What both LUNs hold: noise in their first MiB, zeros behind it. */
  readonly watchedContent = wholeLun(noise(1, 1 * MiB))
  readonly attackedContent = wholeLun(noise(2, 1 * MiB))
  #bystander: Bystander | undefined
  #residentBefore = 0

  private constructor(process: TargetProcess, targetName: string, luns: [number, number]) {
    this.process = process
    this.targetName = targetName
    this.watchedLun = luns[0]
    this.attackedLun = luns[1]
  }

  static async start(): Promise<AttackedTarget> {
    const process = await TargetProcess.start()
    const watched = await process.createPartition({
      directory: temporaryDirectory(),
      disks: 2,
      diskSize: '32M',
      chunk: '64K',
      array: 'array',
      partition: 'watched',
      size: '8M',
    })
    const attacked = await process.addPartition('array/attacked', '8M')
    const luns: [number, number] = [watched.lun, attacked.lun]
    const target = new AttackedTarget(process, await process.targetName(), luns)
    await target.#fill(target.watchedLun, target.watchedContent.subarray(0, 1 * MiB))
    await target.#fill(target.attackedLun, target.attackedContent.subarray(0, 1 * MiB))
    await target.#watch()
    return target
  }

  logIn(keys: Record<string, string> = {}, isid = 1): Promise<RawConnection> {
    const { targetName } = this
    const smallLimits = { MaxRecvDataSegmentLength: '65536' }
    const options = { initiatorName, targetName, keys: { ...smallLimits, ...keys }, isid }
    return RawConnection.logIn(this.process.port, options)
  }

  /** A session whose first command, which gets the unit attention of a new nexus, is over. */
  async settled(keys: Record<string, string> = {}, isid = 1): Promise<RawConnection> {
    const connection = await this.logIn(keys, isid)
    await connection.command(this.attackedLun, Buffer.alloc(16))
    return connection
  }

  open(): Promise<RawConnection> {
    return RawConnection.open(this.process.port)
  }

  /** How much more memory the server has in use than before the attacks. */
  grownMiB(): number {
    return Math.round((residentBytes(this.process.pid) - this.#residentBefore) / MiB)
  }

  async readLun(lun: number): Promise<Buffer> {
    const connection = await this.logIn({}, 8)
    await connection.command(lun, Buffer.alloc(16))
    const parts: Buffer[] = []
    for (let offset = 0; offset < lunBytes; offset += 64 * KiB) {
      const cdb = transferCdb('read', offset / 512, 128)
      parts.push((await connection.command(lun, cdb, 64 * KiB)).data)
    }
    connection.close()
    return Buffer.concat(parts)
  }

  /** Ends the session that reads all the time; answers with how often it did, and what went wrong. */
  async stopWatching(): Promise<{ reads: number; complaint: string | null }> {
    await this.#bystander?.stop()
    return { reads: this.#bystander?.reads ?? 0, complaint: this.#bystander?.complaint ?? null }
  }

  async #watch(): Promise<void> {
    const connection = await this.logIn({}, 99)
    await connection.command(this.watchedLun, Buffer.alloc(16))
    const content = this.watchedContent.subarray(0, 1 * MiB)
    this.#bystander = new Bystander(connection, this.watchedLun, content)
    this.#bystander.start()
    this.#residentBefore = residentBytes(this.process.pid)
  }

  /** Writes 4 KiB at a time with immediate data, which every target takes by default. */
  async #fill(lun: number, content: Buffer): Promise<void> {
    const connection = await this.logIn({}, 7)
    await connection.command(lun, Buffer.alloc(16))
    for (let offset = 0; offset < content.length; offset += 4 * KiB) {
      const data = content.subarray(offset, offset + 4 * KiB)
      const { status } = await connection.command(
        lun,
        transferCdb('write', offset / 512, 8),
        0,
        data,
      )
      if (status !== 0) throw new Error(`write at ${offset} got status ${status}`)
    }
    await connection.command(lun, synchronizeCacheCdb())
    connection.close()
  }
}

function wholeLun(start: Buffer): Buffer {
  return Buffer.concat([start, Buffer.alloc(lunBytes - start.length)])
}
