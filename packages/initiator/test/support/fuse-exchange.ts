/** The kernel's side of FUSE, as bytes: requests as it would write them, answers as it would read them. */
import { inHeaderLayout, outHeaderLayout } from '../../src/fuse/kernel/fuse-layout.ts'
import { FuseRequest, type RequestOwner } from '../../src/fuse/kernel/request.ts'

export interface Answer {
  readonly unique: number
  readonly error: number
  /** What follows the header. */
  readonly body: Buffer
}

/** Puts a request's bytes where the channel would have read them to. @returns their length */
export function writeRequest(
  into: Buffer,
  request: { opcode: number; nodeId?: number; unique?: number; body?: Buffer },
): number {
  const { opcode, nodeId = 1, unique = 7, body = Buffer.alloc(0) } = request
  const length = inHeaderLayout.span + body.length
  const header = { length, opcode, unique, nodeId, uid: 0, gid: 0, pid: 1 }
  inHeaderLayout.encode(header, into, 0)
  body.copy(into, inHeaderLayout.span)
  return length
}

export function decodeAnswer(buffer: Buffer, length: number): Answer {
  const { length: said, error, unique } = outHeaderLayout.decode(buffer)
  if (said !== length) throw new Error(`the header says ${said} bytes, ${length} were sent`)
  return { unique, error, body: Buffer.from(buffer.subarray(outHeaderLayout.span, length)) }
}

/** Takes answers in the place of the channel. */
export class AnswerCollector implements RequestOwner {
  readonly answers: Answer[] = []
  forgotten = 0

  answer(request: FuseRequest, length: number): void {
    this.answers.push(decodeAnswer(request.buffer, length))
  }

  forget(): void {
    this.forgotten++
  }

  /** A request that came. */
  request(parts: Parameters<typeof writeRequest>[1]): FuseRequest {
    const request = new FuseRequest(this)
    if (!request.begin(writeRequest(request.buffer, parts))) throw new Error('not a whole request')
    return request
  }
}
