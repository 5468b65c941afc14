/**
 * A logical unit as a block device of whole blocks: an operation becomes READ, WRITE, WRITE SAME or
 * SYNCHRONIZE CACHE commands, of a length that the unit takes. Ranges within blocks are for unaligned-device.ts.
 */
import { encodeBlockCdb, encodeLun, Opcode, WriteSameFlag } from '@platter/protocol/scsi'
import type { ScsiTransport } from '../session/scsi-transport.ts'
import { Direction, ScsiTask } from '../session/task.ts'
import { assertOnDevice, type BlockDevice, type BlockDone } from './block-device.ts'
import { BlockError } from './block-error.ts'
import { errorOf, isUnitAttention, Verdict, verdictOf } from './scsi-outcome.ts'

/** Commands under way at once, for each unit. */
const COMMANDS_MAX = 128
/** Unit attentions and aborts in a row that one command outlives. */
const RETRIES_MAX = 16
/** How long a busy unit is left alone, in ms: doubled each time, up to the second figure. */
const WAIT_MS = 20
const WAIT_MAX_MS = 2000
/** A unit that is busy for so long has failed. */
const BUSY_TIMEOUT_MS = 60_000
const LBA_MAX_10 = 0xffffffff
const BLOCKS_MAX_10 = 0xffff

const NO_DATA = Buffer.alloc(0)

type OperationKind = 'read' | 'write' | 'zero' | 'flush'

/** What a unit has said of itself: see logical-unit.ts. */
export interface DiskGeometry {
  readonly name: string
  readonly lun: number
  /** The same for as long as there is the same unit at the LUN; of no form. */
  readonly identity: string
  readonly blockSizeBytes: number
  readonly blockCount: number
  readonly readOnly: boolean
  /** Whether GOOD for a WRITE may mean a volatile cache. */
  readonly volatileCache: boolean
  /** The longest transfer it takes, in blocks; 0 for no limit. */
  readonly transferBlocksMax: number
  /** The longest that it takes without delay, and what a length is best a multiple of; 0 for not known. */
  readonly transferBlocksOptimal: number
  readonly transferBlocksGranularity: number
  /** How blocks are made zeros by WRITE SAME(16); null where that is not known. */
  readonly writeSame: WriteSameAbility | null
}

export interface WriteSameAbility {
  /** In one command. */
  readonly blocksMax: number
  /** With UNMAP=1 zeros are written, or the blocks unmapped, which then read as zeros. */
  readonly unmap: boolean
}

export interface ScsiDiskOptions {
  readonly transport: ScsiTransport
  readonly geometry: DiskGeometry
  /** The longest part that one command moves: see part-size.ts. */
  readonly partBytes: number
  /** The unit has said that something is not what it was. */
  readonly onAttention?: () => void
}

/** One call of the device's user. Made once, used again. */
class Operation {
  kind: OperationKind = 'read'
  offset = 0
  buffer: Buffer = NO_DATA
  position = 0
  length = 0
  done: BlockDone = () => {}
  /** Bytes of it that have been made into commands. */
  issued = 0
  commandsLeft = 0
  error: Error | null = null
  next: Operation | null = null
}

/** One SCSI command of an operation. */
class Command {
  readonly task = new ScsiTask()
  operation: Operation | null = null
  /** What it reads or changes, in bytes. */
  offset = 0
  length = 0
  retries = 0
  busySinceMs = 0
  waitMs = 0
}

export class ScsiDisk implements BlockDevice {
  readonly name: string
  readonly blockSizeBytes: number
  readonly readOnly: boolean
  readonly #transport: ScsiTransport
  readonly #geometry: DiskGeometry
  readonly #onAttention: (() => void) | undefined
  readonly #partBytes: number
  readonly #zeroBytesMax: number
  /** One block, the data of a WRITE SAME. */
  readonly #zeros: Buffer
  #sizeBytes: number
  readonly #freeCommands: Command[] = []
  readonly #freeOperations: Operation[] = []
  /** Operations with commands still to be made, linked through themselves. */
  #head: Operation | null = null
  #tail: Operation | null = null

  constructor(options: ScsiDiskOptions) {
    const { geometry } = options
    this.name = geometry.name
    this.blockSizeBytes = geometry.blockSizeBytes
    this.readOnly = geometry.readOnly
    this.#transport = options.transport
    this.#geometry = geometry
    this.#onAttention = options.onAttention
    this.#sizeBytes = geometry.blockCount * geometry.blockSizeBytes
    this.#partBytes = options.partBytes
    this.#zeroBytesMax = (geometry.writeSame?.blocksMax ?? 0) * geometry.blockSizeBytes
    this.#zeros = Buffer.alloc(geometry.blockSizeBytes)
    for (let index = 0; index < COMMANDS_MAX; index++) this.#freeCommands.push(this.#newCommand())
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Whether it is larger now. What lies beyond the end of a unit that shrank fails with an error of its own. */
  growTo(blockCount: number): boolean {
    const sizeBytes = blockCount * this.blockSizeBytes
    if (sizeBytes <= this.#sizeBytes) return false
    this.#sizeBytes = sizeBytes
    return true
  }

  /** Whole blocks only. */
  read(offset: number, into: Buffer, position: number, length: number, done: BlockDone): void {
    this.#assertBlocks(offset, length)
    this.#start('read', offset, into, position, length, done)
  }

  /** Whole blocks only. */
  write(offset: number, from: Buffer, position: number, length: number, done: BlockDone): void {
    this.#assertBlocks(offset, length)
    if (this.#refusesToWrite(done)) return
    this.#start('write', offset, from, position, length, done)
  }

  /** Whole blocks only. */
  zero(offset: number, length: number, done: BlockDone): void {
    this.#assertBlocks(offset, length)
    if (this.#refusesToWrite(done)) return
    if (this.#geometry.writeSame === null) {
      const message = `${this.name}: zero: the unit has no WRITE SAME(16)`
      setImmediate(done, new BlockError('EOPNOTSUPP', message))
      return
    }
    this.#start('zero', offset, this.#zeros, 0, length, done)
  }

  #refusesToWrite(done: BlockDone): boolean {
    if (!this.readOnly) return false
    setImmediate(done, new BlockError('EROFS', `${this.name}: write: it is write protected`))
    return true
  }

  flush(done: BlockDone): void {
    if (this.readOnly || !this.#geometry.volatileCache) setImmediate(done, null)
    else this.#start('flush', 0, NO_DATA, 0, 0, done)
  }

  #assertBlocks(offset: number, length: number): void {
    assertOnDevice(this, offset, length)
    if (offset % this.blockSizeBytes === 0 && length % this.blockSizeBytes === 0) return
    const got = `${length} bytes at ${offset}`
    throw new RangeError(`${this.name}: got ${got}, wanted whole blocks of ${this.blockSizeBytes}`)
  }

  #start(
    kind: OperationKind,
    offset: number,
    buffer: Buffer,
    position: number,
    length: number,
    done: BlockDone,
  ): void {
    if (length === 0 && kind !== 'flush') {
      setImmediate(done, null)
      return
    }
    const operation = this.#freeOperations.pop() ?? new Operation()
    operation.kind = kind
    operation.offset = offset
    operation.buffer = buffer
    operation.position = position
    operation.length = length
    operation.done = done
    operation.issued = 0
    operation.commandsLeft = 0
    operation.error = null
    operation.next = null
    if (this.#tail === null) this.#head = operation
    else this.#tail.next = operation
    this.#tail = operation
    this.#pump()
  }

  /** Makes commands of what waits, as long as there are records for them. */
  #pump(): void {
    for (let operation = this.#head; operation !== null; operation = this.#head) {
      do {
        const command = this.#freeCommands.pop()
        if (command === undefined) return
        this.#issue(operation, command)
      } while (operation.issued < operation.length)
      this.#head = operation.next
      if (this.#head === null) this.#tail = null
      operation.next = null
    }
  }

  #issue(operation: Operation, command: Command): void {
    const { task } = command
    const zero = operation.kind === 'zero'
    const at = operation.issued
    const lengthMax = zero ? this.#zeroBytesMax : this.#partBytes
    const length = Math.min(operation.length - at, lengthMax)
    operation.issued += length
    operation.commandsLeft += 1
    command.operation = operation
    command.offset = operation.offset + at
    command.length = length
    command.retries = 0
    command.busySinceMs = 0
    task.buffer = operation.buffer
    task.position = zero ? 0 : operation.position + at
    task.length = zero ? this.blockSizeBytes : length
    this.#encodeCdb(command, operation.kind)
    this.#transport.execute(task)
  }

  #encodeCdb({ task, offset, length }: Command, kind: OperationKind): void {
    task.cdb.fill(0)
    if (kind === 'flush') {
      task.direction = Direction.None
      encodeBlockCdb(task.cdb, 0, Opcode.SynchronizeCache10, 0, 0)
      return
    }
    const lba = offset / this.blockSizeBytes
    const blocks = length / this.blockSizeBytes
    const ten = lba + blocks <= LBA_MAX_10 && blocks <= BLOCKS_MAX_10
    if (kind === 'read') {
      task.direction = Direction.Read
      encodeBlockCdb(task.cdb, 0, ten ? Opcode.Read10 : Opcode.Read16, lba, blocks)
    } else if (kind === 'zero') {
      task.direction = Direction.Write
      const flags = this.#geometry.writeSame?.unmap === true ? WriteSameFlag.Unmap : 0
      encodeBlockCdb(task.cdb, 0, Opcode.WriteSame16, lba, blocks, flags)
    } else {
      task.direction = Direction.Write
      encodeBlockCdb(task.cdb, 0, ten ? Opcode.Write10 : Opcode.Write16, lba, blocks)
    }
  }

  #newCommand(): Command {
    const command = new Command()
    encodeLun(command.task.lun, 0, this.#geometry.lun)
    command.task.done = () => this.#commandEnded(command)
    return command
  }

  #commandEnded(command: Command): void {
    const { task } = command
    const operation = command.operation as Operation
    const verdict = verdictOf(task)
    if (verdict !== Verdict.Done) {
      if (isUnitAttention(task)) this.#onAttention?.()
      if (verdict !== Verdict.Failed && this.#tryAgain(command, verdict)) return
      operation.error ??= errorOf(task, `${this.name}: ${operation.kind}${where(command)}`)
    }
    task.buffer = NO_DATA
    command.operation = null
    this.#freeCommands.push(command)
    operation.commandsLeft -= 1
    if (operation.commandsLeft === 0 && operation.issued === operation.length) this.#end(operation)
    if (this.#head !== null) this.#pump()
  }

  #end(operation: Operation): void {
    const { done, error } = operation
    operation.buffer = NO_DATA
    operation.done = () => {}
    operation.error = null
    this.#freeOperations.push(operation)
    done(error)
  }

  /** False when it has been tried often or long enough. */
  #tryAgain(command: Command, verdict: Verdict): boolean {
    if (verdict === Verdict.Retry) {
      command.retries += 1
      if (command.retries > RETRIES_MAX) return false
      this.#transport.execute(command.task)
      return true
    }
    const nowMs = performance.now()
    if (command.busySinceMs === 0) {
      command.busySinceMs = nowMs
      command.waitMs = WAIT_MS
    } else if (nowMs - command.busySinceMs > BUSY_TIMEOUT_MS) return false
    setTimeout(() => this.#transport.execute(command.task), command.waitMs)
    command.waitMs = Math.min(command.waitMs * 2, WAIT_MAX_MS)
    return true
  }
}

function where({ operation, offset, length }: Command): string {
  return operation?.kind === 'flush' ? '' : ` of ${length} bytes at ${offset}`
}
