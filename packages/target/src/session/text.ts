/**
 * Text negotiation in full feature phase (RFC 7143 sections 11.10 and 11.11): SendTargets, our own
 * access information, and the few keys that may change after login. Both ways a text may continue over several PDUs.
 */
import {
  ACCESS_INFORMATION_KEY,
  encodeText,
  formatAccessInformation,
  keyDefinition,
  ProtocolError,
  parseNumber,
  RESERVED_TAG,
  RejectReason,
  TextAssembler,
  TextRequest,
} from '@platter/protocol/iscsi'
import { type ControlContext, type ControlPdu, rejectPdu } from './control-pdu.ts'

/** Text of one exchange that is gathered before it is acted on, in bytes. */
const TEXT_LIMIT = 65536
const NO_TEXT: Buffer = Buffer.alloc(0)

/** One exchange at a time on a connection; a new request with no tag gives up the one before. */
export class TextExchange {
  readonly #context: ControlContext
  #initiatorTaskTag = RESERVED_TAG
  #tag = RESERVED_TAG
  #request = new TextAssembler(TEXT_LIMIT)
  #answer = NO_TEXT
  #sent = 0
  /** Keys of this exchange: none may come twice (RFC 7143 section 6.4). */
  #keys = new Set<string>()
  /** MaxRecvDataSegmentLength as the initiator declared it in this exchange; in force at its end. */
  #declared: number | undefined

  constructor(context: ControlContext) {
    this.#context = context
  }

  request({ header, data }: ControlPdu): void {
    const pdu = new TextRequest().at(header, 0)
    if (pdu.targetTransferTag === RESERVED_TAG) {
      this.#begin(pdu.initiatorTaskTag)
    } else if (
      pdu.targetTransferTag !== this.#tag ||
      pdu.initiatorTaskTag !== this.#initiatorTaskTag
    ) {
      rejectPdu(this.#context, RejectReason.InvalidPduField, header)
      return
    }
    if (pdu.continued && pdu.final) {
      this.#begin(RESERVED_TAG)
      rejectPdu(this.#context, RejectReason.ProtocolError, header)
      return
    }
    if (this.#sent < this.#answer.length) {
      this.#sendPiece(pdu.final)
      return
    }
    try {
      this.#request.append(data, 0, data.length)
      if (!pdu.continued) this.#answer = this.#answerTo(this.#request.take())
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      // The exchange has failed, and nothing of it holds; the connection goes on.
      this.#begin(RESERVED_TAG)
      rejectPdu(this.#context, RejectReason.ProtocolError, header)
      return
    }
    if (pdu.continued) {
      this.#send(false, false, NO_TEXT)
      return
    }
    this.#sent = 0
    this.#sendPiece(pdu.final)
  }

  get #inDiscovery(): boolean {
    return this.#context.session.identity.type === 'Discovery'
  }

  #begin(initiatorTaskTag: number): void {
    this.#initiatorTaskTag = initiatorTaskTag
    this.#tag = RESERVED_TAG
    this.#request = new TextAssembler(TEXT_LIMIT)
    this.#answer = NO_TEXT
    this.#sent = 0
    this.#keys = new Set()
    this.#declared = undefined
  }

  #sendPiece(requestFinal: boolean): void {
    const end = Math.min(this.#answer.length, this.#sent + this.#context.sendSegmentMax)
    const piece = this.#answer.subarray(this.#sent, end)
    this.#sent = end
    const more = end < this.#answer.length
    this.#send(!more && requestFinal, more, piece)
  }

  #send(final: boolean, continued: boolean, data: Buffer): void {
    if (!final && this.#tag === RESERVED_TAG) this.#tag = this.#context.nextTag()
    const initiatorTaskTag = this.#initiatorTaskTag
    const targetTransferTag = final ? RESERVED_TAG : this.#tag
    this.#context.responder.textResponse(
      { initiatorTaskTag, targetTransferTag, final, continued },
      data,
    )
    if (!final) return
    if (this.#declared !== undefined) this.#context.sendSegmentMax = this.#declared
    this.#begin(RESERVED_TAG)
  }

  #answerTo(pairs: readonly (readonly [string, string])[]): Buffer {
    const answers: [string, string][] = []
    const asksForTargets = pairs.some(([key]) => key === 'SendTargets')
    if (this.#inDiscovery && pairs.length > 0 && !asksForTargets) {
      throw refused('a discovery session is for SendTargets')
    }
    for (const [key, value] of pairs) {
      if (this.#keys.has(key)) throw refused(`text key ${key} came a second time`)
      this.#keys.add(key)
      if (key === 'SendTargets') answers.push(...this.#sendTargets(value))
      else if (key === 'MaxRecvDataSegmentLength') this.#declare(value)
      else if (key === 'InitiatorAlias') continue
      else if (key === ACCESS_INFORMATION_KEY) answers.push([key, this.#accessInformation(value)])
      else answers.push([key, keyDefinition(key) === undefined ? 'NotUnderstood' : 'Reject'])
    }
    return encodeText(answers)
  }

  #declare(value: string): void {
    const rule = keyDefinition('MaxRecvDataSegmentLength')?.rule
    const [low, high] = (rule?.kind === 'declarative' && rule.range) || [0, 0]
    const length = parseNumber(value)
    if (length === undefined || length < low || length > high) {
      throw refused(`MaxRecvDataSegmentLength=${value} is not in the range of ${low} to ${high}`)
    }
    this.#declared = length
  }

  /** `All` is for discovery sessions; in a normal one an empty value asks for its own target. */
  #sendTargets(value: string): [string, string][] {
    const { targetName, isForInitiator } = this.#context.port.directory
    if (value === 'All' && !this.#inDiscovery) return [['SendTargets', 'Reject']]
    if (value === '' && this.#inDiscovery) return [['SendTargets', 'Reject']]
    if (!isForInitiator) return []
    if (value !== 'All' && value !== '' && value !== targetName) return []
    return [
      ['TargetName', targetName],
      ...this.#context.port.directory
        .targetAddresses()
        .map((address): [string, string] => ['TargetAddress', address]),
    ]
  }

  /** The value is the LUN to begin at. */
  #accessInformation(value: string): string {
    const firstLun = parseNumber(value)
    const information = this.#context.port.directory.accessInformation(firstLun ?? 0)
    if (information === undefined) return 'NotUnderstood'
    return firstLun === undefined ? 'Reject' : formatAccessInformation(information)
  }
}

function refused(message: string): ProtocolError {
  const { ProtocolError: reason } = RejectReason
  return new ProtocolError('text', message, { kind: 'reject', reason })
}
