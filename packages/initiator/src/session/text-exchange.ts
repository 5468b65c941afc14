/** Questions in text, each of which may take several PDUs (RFC 7143 sections 11.10, 11.11). */
import {
  encodeText,
  ProtocolError,
  RESERVED_TAG,
  TextAssembler,
  type TextPair,
  TextRequest,
  type TextResponse,
} from '@platter/protocol/iscsi'
import type { CommandWindow } from './command-window.ts'
import { ConnectionLostError } from './errors.ts'
import type { PduWriter } from './pdu-writer.ts'

/** A target that has more to tell than this is not believed. */
const TEXT_BYTES_MAX = 4 * 1024 * 1024

/** Called once: with the pairs that the target sent, or with the reason that there are none. */
export type TextDone = (error: Error | null, pairs: readonly TextPair[]) => void

interface Question {
  readonly initiatorTaskTag: number
  readonly done: TextDone
  readonly assembler: TextAssembler
}

/** The questions of one connection, one at a time. */
export class TextExchange {
  readonly #writer: PduWriter
  readonly #window: CommandWindow
  readonly #requestBytesMax: number
  #question: Question | null = null

  /** `requestBytesMax`: what the target takes in one PDU. */
  constructor(writer: PduWriter, window: CommandWindow, requestBytesMax: number) {
    this.#writer = writer
    this.#window = window
    this.#requestBytesMax = requestBytesMax
  }

  /** Whether an answer is awaited. */
  get underWay(): boolean {
    return this.#question !== null
  }

  /** Throws an Error when one is under way, a RangeError for a text that is too long. */
  ask(
    pairs: readonly TextPair[],
    initiatorTaskTag: number,
    expStatSN: number,
    done: TextDone,
  ): void {
    if (this.#question !== null) throw new Error('a text negotiation is under way')
    const text = encodeText(pairs)
    if (text.length > this.#requestBytesMax) {
      throw new RangeError(`a text of ${text.length} bytes does not fit one PDU`)
    }
    const assembler = new TextAssembler(TEXT_BYTES_MAX)
    this.#question = { initiatorTaskTag, done, assembler }
    this.#send(initiatorTaskTag, RESERVED_TAG, text, expStatSN)
  }

  /** Takes one response, and asks for the rest if it is not the last. */
  receive(response: TextResponse, data: Buffer, expStatSN: number): void {
    const question = this.#question
    if (question === null || response.initiatorTaskTag !== question.initiatorTaskTag) {
      throw broken('an answer to no request')
    }
    question.assembler.append(data, 0, data.length)
    if (response.final) {
      if (response.continued) throw broken('F and C are both set')
      const pairs = question.assembler.take()
      this.#question = null
      question.done(null, pairs)
      return
    }
    if (response.targetTransferTag === RESERVED_TAG) {
      throw broken('it is not the last, and has no Target Transfer Tag to go on with')
    }
    const { targetTransferTag } = response
    this.#send(question.initiatorTaskTag, targetTransferTag, Buffer.alloc(0), expStatSN)
  }

  #send(tag: number, targetTransferTag: number, text: Buffer, expStatSN: number): void {
    const base = this.#writer.reserve(text.length)
    const { slab } = this.#writer
    const pdu = new TextRequest().init(slab, base)
    pdu.immediate = true
    pdu.final = true
    pdu.initiatorTaskTag = tag
    pdu.targetTransferTag = targetTransferTag
    pdu.cmdSN = this.#window.cmdSN
    pdu.expStatSN = expStatSN
    text.copy(slab, this.#writer.dataPosition(base))
    this.#writer.send(base, text.length)
  }

  /** The connection is gone. */
  end(cause: Error): void {
    const question = this.#question
    this.#question = null
    question?.done(new ConnectionLostError(cause.message, { cause }), [])
  }
}

function broken(message: string): ProtocolError {
  return new ProtocolError('text', `text response: ${message}`, { kind: 'drop' })
}
