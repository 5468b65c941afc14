/** What a server's connections carried, as tshark tells it: one line for each PDU, in the order of the wire. */
import { join } from 'node:path'
import { temporaryDirectory } from '../cleanup.ts'
import { TrafficCapture } from './traffic-capture.ts'
import { dissect } from './tshark.ts'

export interface CarriedPdu {
  /** tshark's number of the TCP connection. */
  readonly stream: string
  readonly opcode: number
  readonly initiatorTaskTag: string
}

/** Ends the capture and has tshark look at it. */
export async function carriedPdus(capture: TrafficCapture): Promise<CarriedPdu[]> {
  await capture.stop()
  const file = join(temporaryDirectory(), 'flows.pcap')
  await TrafficCapture.write(file, [capture])
  const fields = ['tcp.stream', 'iscsi.opcode', 'iscsi.initiatortasktag']
  const frames = await dissect(file, new Set(capture.place.ports), fields)
  const pdus: CarriedPdu[] = []
  for (const { values } of frames.values()) {
    const [stream = ''] = values.get('tcp.stream') ?? []
    const tags = values.get('iscsi.initiatortasktag') ?? []
    for (const [index, opcode] of (values.get('iscsi.opcode') ?? []).entries()) {
      pdus.push({ stream, opcode: Number(opcode), initiatorTaskTag: tags[index] ?? '' })
    }
  }
  return pdus
}

/** For each moment with commands under way, on how many connections; the most there were. */
export function connectionsAtOnce(pdus: readonly CarriedPdu[]): number {
  const underWay = new Map<string, string>()
  let most = 0
  for (const { stream, opcode, initiatorTaskTag } of pdus) {
    if (opcode === 0x01) underWay.set(initiatorTaskTag, stream)
    else if (opcode === 0x21 || opcode === 0x25) underWay.delete(initiatorTaskTag)
    most = Math.max(most, new Set(underWay.values()).size)
  }
  return most
}
