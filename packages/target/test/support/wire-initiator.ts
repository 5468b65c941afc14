/** An initiator at the other end of a socket, which sends the PDUs it is told and waits for answers. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import {
  DataOut,
  encodeText,
  Framer,
  type FramerHandler,
  LoginRequest,
  pduLength,
  ScsiCommand,
  sealPdu,
} from '@platter/protocol/iscsi'
import type { SentPdu } from './fake-sink.ts'
import { INITIATOR_NAME, TARGET_NAME } from './scripted-initiator.ts'

export class WireInitiator {
  readonly socket: Socket
  /** Resolves when the connection is gone. */
  readonly closed: Promise<unknown>
  readonly #pdus: SentPdu[] = []
  #waiting: ((pdu: SentPdu) => void) | null = null
  #cmdSN = 1

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('error', () => {})
    this.closed = once(this.socket, 'close')
    let header = Buffer.alloc(0)
    let data = Buffer.alloc(0)
    const handler: FramerHandler = {
      onHeader: (buffer, base) => {
        header = Buffer.from(buffer.subarray(base, base + 48))
        data = Buffer.alloc(header.readUIntBE(5, 3))
      },
      onData: (buffer, position, length, offset) => {
        buffer.copy(data, offset, position, position + length)
      },
      onEnd: () => this.#arrived({ header, data }),
      onDataDigestError: () => {},
    }
    const framer = new Framer(handler, 0xffffff)
    this.socket.on('data', (chunk) => framer.push(chunk, 0, chunk.length))
  }

  #arrived(pdu: SentPdu): void {
    const waiting = this.#waiting
    this.#waiting = null
    if (waiting === null) this.#pdus.push(pdu)
    else waiting(pdu)
  }

  /** The next PDU of the target. */
  receive(): Promise<SentPdu> {
    const pdu = this.#pdus.shift()
    if (pdu !== undefined) return Promise.resolve(pdu)
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }

  send<P extends { init(buffer: Buffer, base: number): P; dataSegmentLength: number }>(
    view: P,
    fill: (pdu: P) => void,
    data: Buffer = Buffer.alloc(0),
  ): void {
    const bytes = Buffer.alloc(pduLength(0, data.length, false, false))
    const pdu = view.init(bytes, 0)
    pdu.dataSegmentLength = data.length
    fill(pdu)
    data.copy(bytes, 48)
    sealPdu(bytes, 0, data.length, false, false)
    this.socket.write(bytes)
  }

  /** Goes to full feature phase; resolves to the login's status. */
  async login(isid: string, keys: Record<string, string> = {}): Promise<number> {
    const names: [string, string][] = [
      ['InitiatorName', INITIATOR_NAME],
      ['TargetName', TARGET_NAME],
    ]
    const fill = (pdu: LoginRequest) => {
      pdu.buffer.write(isid, pdu.isidPosition, 'hex')
      pdu.cmdSN = 1
      pdu.transit = true
      pdu.currentStage = 1
      pdu.nextStage = 3
    }
    this.send(new LoginRequest(), fill, encodeText([...names, ...Object.entries(keys)]))
    return (await this.receive()).header.readUInt16BE(36)
  }

  /** READ (28h) or WRITE (2Ah) of `blocks` blocks; its tag is its CmdSN. */
  command(opcode: number, lba: number, blocks: number, data?: Buffer): number {
    const cmdSN = this.#cmdSN++
    const fill = (pdu: ScsiCommand) => {
      pdu.final = true
      pdu.read = opcode === 0x28
      pdu.write = opcode === 0x2a
      pdu.initiatorTaskTag = cmdSN
      pdu.cmdSN = cmdSN
      pdu.expectedDataTransferLength = blocks * 512
      pdu.buffer[pdu.cdbPosition] = opcode
      pdu.buffer.writeUInt32BE(lba, pdu.cdbPosition + 2)
      pdu.buffer.writeUInt16BE(blocks, pdu.cdbPosition + 7)
    }
    this.send(new ScsiCommand(), fill, data)
    return cmdSN
  }

  dataOut(
    fields: { tag: number; ttt: number; offset: number; dataSN: number; final: boolean },
    data: Buffer,
  ): void {
    const fill = (pdu: DataOut) => {
      pdu.initiatorTaskTag = fields.tag
      pdu.targetTransferTag = fields.ttt
      pdu.bufferOffset = fields.offset
      pdu.dataSN = fields.dataSN
      pdu.final = fields.final
    }
    this.send(new DataOut(), fill, data)
  }
}
