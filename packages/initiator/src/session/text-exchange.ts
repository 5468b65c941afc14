/** One Text negotiation, which may take several PDUs each way (RFC 7143 sections 11.10, 11.11). */
import {
  ProtocolError,
  RESERVED_TAG,
  TextAssembler,
  type TextPair,
  type TextResponse,
} from '@platter/protocol/iscsi'

/** A target that has more to tell than this is not believed. */
const TEXT_BYTES_MAX = 4 * 1024 * 1024

/** Called once: with the pairs that the target sent, or with the reason that there are none. */
export type TextDone = (error: Error | null, pairs: readonly TextPair[]) => void

export class TextExchange {
  readonly initiatorTaskTag: number
  readonly done: TextDone
  readonly #assembler = new TextAssembler(TEXT_BYTES_MAX)

  constructor(initiatorTaskTag: number, done: TextDone) {
    this.initiatorTaskTag = initiatorTaskTag
    this.done = done
  }

  /**
   * Takes one response. Returns all pairs when it was the last, or the Target Transfer Tag with which
   * to ask for the rest.
   */
  receive(response: TextResponse, data: Buffer): readonly TextPair[] | number {
    this.#assembler.append(data, 0, data.length)
    if (response.final) {
      if (response.continued) throw broken('F and C are both set')
      return this.#assembler.take()
    }
    if (response.targetTransferTag === RESERVED_TAG) {
      throw broken('it is not the last, and has no Target Transfer Tag to go on with')
    }
    return response.targetTransferTag
  }
}

function broken(message: string): ProtocolError {
  return new ProtocolError('text', `text response: ${message}`, { kind: 'drop' })
}
