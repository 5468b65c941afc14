/** Holds what tshark says of a capture against what our decoder says of the same bytes. */
import { readFile } from 'node:fs/promises'
import { describePdu } from '@platter/protocol/iscsi'
import { numberingComplaints } from './numbering.ts'
import { type CapturedFrame, type CapturedPdu, decodeCapture } from './pdu-stream.ts'
import { type DissectedFrame, dissect } from './tshark.ts'
import { comparedFields, expectedValues, lunField, textField } from './tshark-fields.ts'
import {
  isTakenForNone,
  mayBeTakenForMalformed,
  mayEndFrame,
  rejectsUnknownOpcode,
  unknownOpcode,
  warningOfNoImport,
} from './tshark-quirks.ts'

export interface CaptureReport {
  /** How many PDUs were compared. */
  readonly pdus: number
  /** Connections whose comparison ended early, because packets are missing from the capture. */
  readonly gaps: number
  /** What is wrong, one line each. */
  readonly complaints: readonly string[]
}

export interface CaptureOptions {
  /** The requests are held to nothing: some are malformed on purpose. */
  readonly responsesOnly?: boolean
}

/**
 * Checks the capture of servers at these ports: nothing malformed, no bad digest, each field of
 * each PDU the same to tshark as to us, and the numbers of what targets send in order.
 */
export async function checkCapture(
  file: string,
  ports: ReadonlySet<number>,
  options: CaptureOptions = {},
): Promise<CaptureReport> {
  const frames = decodeCapture(await readFile(file), ports)
  const report = compareFrames(frames, await dissect(file, ports, comparedFields), options)
  return { ...report, complaints: [...report.complaints, ...numberingComplaints(frames)] }
}

/** Holds what tshark says of frames against what we do. */
export function compareFrames(
  frames: ReadonlyMap<number, CapturedFrame>,
  dissected: ReadonlyMap<number, DissectedFrame>,
  { responsesOnly = false }: CaptureOptions = {},
): CaptureReport {
  const complaints: string[] = []
  const gaps = new Set<string>()
  let pdus = 0
  for (const [number, frame] of frames) {
    if (frame.afterGap) gaps.add(frame.connection)
    if (frame.afterGap || frame.afterComplaint) continue
    if (responsesOnly && frame.sender === 'initiator') continue
    const theirs = dissected.get(number)
    if (theirs?.values.size === 0 && frame.pdus.slice(0, 1).some(isTakenForNone)) continue
    pdus += frame.pdus.length
    const found = theirs === undefined ? ['tshark sees no data'] : compareFrame(frame, theirs)
    complaints.push(...found.map((text) => `frame ${number}, from the ${frame.sender}: ${text}`))
  }
  return { pdus, gaps: gaps.size, complaints }
}

function compareFrame(frame: CapturedFrame, theirs: DissectedFrame): string[] {
  const complaints: string[] = []
  if (frame.complaint !== null) complaints.push(`our decoder: ${frame.complaint}`)
  const seen = seenByTshark(frame.pdus, theirs)
  const last = seen.at(-1)
  const isMalformed = (text: string) => text.includes('Malformed Packet')
  const isQuirk = last !== undefined && mayBeTakenForMalformed(last)
  const unknown = frame.pdus.some(rejectsUnknownOpcode)
  complaints.push(
    ...theirs.errors
      .filter((text) => !(isQuirk && isMalformed(text)))
      .filter((text) => !(unknown && unknownOpcode.complaint.test(text))),
  )
  // A host may send data for a command that there is not; the target may not.
  if (frame.sender === 'target') {
    complaints.push(...theirs.warnings.filter((text) => !warningOfNoImport.test(text)))
  }
  const different = fieldsToCompare(seen).flatMap((field) => {
    const ours = expectedValues(field, seen)
    const shown = theirs.values.get(field) ?? []
    const same = field === lunField ? isWithin(ours, shown) : ours.join() === shown.join()
    return same ? [] : [`${field} is ${shown.join() || 'missing'}, we say ${ours.join() || 'none'}`]
  })
  if (different.length === 0) return complaints
  const described = seen.map(({ header }) => describePdu(header)).join('; ')
  return [...complaints, `${different.join('; ')} [${described}]`]
}

/** The PDUs of a frame, or those of them that tshark looked at: after some it leaves the rest. */
function seenByTshark(
  pdus: readonly CapturedPdu[],
  theirs: DissectedFrame,
): readonly CapturedPdu[] {
  const shown = theirs.values.get('iscsi.opcode')?.length ?? 0
  for (const [index, pdu] of pdus.entries()) {
    const seen = pdus.slice(0, index + 1)
    if (mayEndFrame(pdu) && expectedValues('iscsi.opcode', seen).length === shown) return seen
  }
  return pdus
}

/** All, but for those in which tshark cannot be right of these PDUs. */
function fieldsToCompare(pdus: readonly CapturedPdu[]): readonly string[] {
  const left: string[] = []
  if (pdus.some(({ partOfText }) => partOfText)) left.push(textField)
  if (pdus.some(rejectsUnknownOpcode)) left.push(...unknownOpcode.fields)
  return left.length === 0 ? comparedFields : comparedFields.filter((it) => !left.includes(it))
}

/** Whether all of `values` are in `list`, in their order. */
function isWithin(values: readonly string[], list: readonly string[]): boolean {
  let at = 0
  for (const value of list) if (value === values[at]) at++
  return at === values.length
}
