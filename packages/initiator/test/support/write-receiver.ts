/**
 * The target's side of writes: gathers immediate, unsolicited and solicited data, asks for more when
 * it has to, and holds every PDU to what was agreed on. What it chooses to do follows from a seed.
 */
import { DataOut, Opcode, RESERVED_TAG, ScsiCommand } from '@platter/protocol/iscsi'
import type { SentPdu } from './fake-sink.ts'
import type { ScriptedTarget } from './scripted-target.ts'

interface Write {
  readonly tag: number
  readonly data: Buffer
  received: number
  /** Of the sequences that are due, one after another: up to where each goes, and its tag. */
  readonly sequences: { readonly end: number; readonly tag: number }[]
  dataSN: number
  r2tSN: number
}

export class WriteReceiver {
  readonly #target: ScriptedTarget
  #random: number
  readonly #byCmdSN = new Map<number, Write>()
  readonly #open = new Map<number, Write>()
  /** Tags of the R2Ts that are outstanding, in the order in which they were sent. */
  readonly #asked: number[] = []
  #nextTag = 0

  constructor(target: ScriptedTarget, seed: number) {
    this.#target = target
    this.#random = seed
    target.sink.backlogLimitBytes = 2000
  }

  /** The data of the command with that CmdSN, when it has ended. */
  written(cmdSN: number): Buffer {
    return this.#byCmdSN.get(cmdSN)?.data ?? Buffer.alloc(0)
  }

  /** Serves until nothing more is to be done. */
  run(): void {
    for (;;) {
      const pdus = this.#target.receive()
      for (const pdu of pdus) this.#take(pdu)
      const { sink, connection } = this.#target
      sink.holding = this.#choose(2) === 1
      const asked = this.#ask()
      if (pdus.length === 0 && !asked && sink.backlogBytes === 0) return
      if (this.#choose(3) > 0) continue
      sink.backlogBytes = 0
      connection.onDrain()
    }
  }

  #choose(below: number): number {
    this.#random = (Math.imul(this.#random, 1664525) + 1013904223) >>> 0
    return (this.#random >>> 8) % below
  }

  #take({ header, data }: SentPdu): void {
    const { maxRecvDataSegmentLength } = this.#target.parameters
    must(data.length <= maxRecvDataSegmentLength, 'the data segment fits')
    const pdu = new DataOut().at(header, 0)
    if (pdu.opcode === Opcode.ScsiCommand) this.#onCommand(new ScsiCommand().at(header, 0), data)
    else this.#onDataOut(pdu, data)
  }

  #onCommand(pdu: ScsiCommand, data: Buffer): void {
    const { firstBurstLength, immediateData, initialR2T } = this.#target.parameters
    const length = pdu.expectedDataTransferLength
    const burst = Math.min(length, firstBurstLength)
    must(immediateData || data.length === 0, 'immediate data were agreed on')
    must(data.length <= burst, 'immediate data are within FirstBurstLength')
    must(!initialR2T || pdu.final, 'no unsolicited data without InitialR2T=No')
    must(pdu.final || data.length < burst, 'F is set when nothing follows')
    must(initialR2T || !pdu.final || data.length === burst, 'all of the burst is sent')
    const write = {
      tag: pdu.initiatorTaskTag,
      data: Buffer.alloc(length, 0xdd),
      received: data.length,
      sequences: pdu.final ? [] : [{ end: burst, tag: RESERVED_TAG }],
      dataSN: 0,
      r2tSN: 0,
    }
    data.copy(write.data)
    this.#byCmdSN.set(pdu.cmdSN, write)
    this.#open.set(write.tag, write)
  }

  #onDataOut(pdu: DataOut, data: Buffer): void {
    const write = this.#open.get(pdu.initiatorTaskTag)
    const sequence = write?.sequences[0]
    if (write === undefined || sequence === undefined) throw new Error('nobody asked for it')
    must(pdu.targetTransferTag === sequence.tag, 'the tag is that of the sequence')
    must(pdu.dataSN === write.dataSN, 'DataSN counts from 0 in each sequence')
    must(pdu.bufferOffset === write.received, 'data come in order')
    data.copy(write.data, write.received)
    write.received += data.length
    write.dataSN = pdu.final ? 0 : write.dataSN + 1
    must(pdu.final === (write.received === sequence.end), 'F is set in the last, only')
    must(pdu.final || data.length % 4 === 0, 'only the last may end within a word')
    if (sequence.tag !== RESERVED_TAG) {
      must(this.#asked[0] === sequence.tag, 'R2Ts are answered in order')
      if (pdu.final) this.#asked.shift()
    }
    if (pdu.final) write.sequences.shift()
  }

  /** Asks for more, or ends a command, where that can be. Whether anything is still to be done. */
  #ask(): boolean {
    for (const write of this.#open.values()) {
      const due = write.sequences.at(-1)
      if (this.#choose(4) === 0 || (due !== undefined && due.tag !== RESERVED_TAG)) continue
      const offset = due?.end ?? write.received
      if (offset < write.data.length) this.#askFor(write, offset)
      else if (due === undefined) {
        this.#open.delete(write.tag)
        this.#target.response(write.tag, { expDataSN: write.r2tSN })
      }
    }
    return this.#open.size > 0
  }

  #askFor(write: Write, bufferOffset: number): void {
    const most = Math.min(write.data.length - bufferOffset, this.#target.parameters.maxBurstLength)
    const desiredDataTransferLength = 1 + this.#choose(most)
    const { r2tSN } = write
    const tag = this.#nextTag++
    write.r2tSN += 1
    write.sequences.push({ end: bufferOffset + desiredDataTransferLength, tag })
    this.#asked.push(tag)
    const fields = { targetTransferTag: tag, r2tSN, bufferOffset, desiredDataTransferLength }
    this.#target.readyToTransfer(write.tag, fields)
  }
}

function must(fact: boolean, rule: string): void {
  if (!fact) throw new Error(`broken: ${rule}`)
}
