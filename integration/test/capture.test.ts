/** The check of captured traffic, checked: it sees what is wrong with a capture, and nothing else. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DataIn, ScsiCommand, ScsiResponse } from '@platter/protocol/iscsi'
import t from 'tap'
import { checkCapture, compareFrames } from '../lib/capture/check-capture.ts'
import { decodeRecord, PcapReader } from '../lib/capture/pcap.ts'
import { decodeCapture } from '../lib/capture/pdu-stream.ts'
import { TrafficCapture } from '../lib/capture/traffic-capture.ts'
import { dissect } from '../lib/capture/tshark.ts'
import { comparedFields, expectedValues } from '../lib/capture/tshark-fields.ts'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { RawConnection } from '../lib/raw-connection.ts'
import { encodeKeys, transferCdb } from '../lib/raw-pdu.ts'
import { requires } from '../lib/requires.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
const needs = requires('captures', 'root')
const directory = temporaryDirectory()

interface Captured {
  readonly file: string
  readonly ports: ReadonlySet<number>
}

const sessions = new Map<string, Promise<Captured>>()

/** The capture of a session with or without digests; made once. */
function captured(digest: 'CRC32C' | 'None'): Promise<Captured> {
  const session = sessions.get(digest) ?? captureSession(digest)
  sessions.set(digest, session)
  return session
}

/** One session with sense data, a write, a read and text: each a request and a response. */
async function captureSession(digest: 'CRC32C' | 'None'): Promise<Captured> {
  const target = await TargetProcess.start()
  const { lun } = await target.createPartition({
    directory: temporaryDirectory(),
    disks: 1,
    diskSize: '16M',
    chunk: '64K',
    array: 'array',
    partition: 'partition',
    size: '8M',
  })
  const targetName = await target.targetName()
  const capture = await TrafficCapture.start({ ports: [target.port] })
  const keys = { HeaderDigest: digest, DataDigest: digest }
  const connection = await RawConnection.logIn(target.port, { targetName, keys })
  await connection.command(lun, Buffer.alloc(16))
  await connection.command(lun, transferCdb('write', 8, 8), 0, Buffer.alloc(4096, 'block'))
  await connection.command(lun, transferCdb('read', 8, 8), 4096)
  connection.sendPdu({
    opcode: 0x04,
    flags: 0x80,
    initiatorTaskTag: 77,
    words: [0xffffffff, connection.cmdSN++, 0],
    data: encodeKeys({ SendTargets: 'All' }),
  })
  await connection.receive()
  connection.close()
  await target.stop()
  await capture.stop()
  const file = join(directory, `${digest}.pcap`)
  await TrafficCapture.write(file, [capture])
  return { file, ports: new Set([target.port]) }
}

/** Changes bytes of the packet whose payload `wanted` likes first, and writes the capture anew. */
async function changed(
  file: string,
  name: string,
  wanted: (payload: Buffer) => boolean,
  change: (payload: Buffer) => void,
): Promise<string> {
  const bytes = await readFile(file)
  const copy = join(directory, `${name}.pcap`)
  const payloads = new PcapReader().push(bytes).map((record) => decodeRecord(record)?.payload)
  const found = payloads.find((payload) => payload !== undefined && wanted(payload))
  if (found === undefined) throw new Error(`${file} has no such packet`)
  // Records are views of what the reader was given or has copied: look for the same bytes.
  const at = bytes.indexOf(found)
  change(bytes.subarray(at, at + found.length))
  await writeFile(copy, bytes)
  return copy
}

const opcodeIs = (opcode: number) => (payload: Buffer) => payload[0] === opcode

t.test('a capture as it came passes, and each of its PDUs was compared', needs, async (t) => {
  for (const digest of ['None', 'CRC32C'] as const) {
    const { file, ports } = await captured(digest)
    t.strictSame(await checkCapture(file, ports), { pdus: 10, gaps: 0, complaints: [] }, digest)
  }
})

t.test('a digest that is wrong is complained of, whichever it is', needs, async (t) => {
  const { file, ports } = await captured('CRC32C')
  const places: [string, number, RegExp, RegExp][] = [
    ['header', 30, /HeaderDigest: .*Bad CRC32/, /our decoder: header digest is/],
    ['data', 100, /DataDigest: .*Bad CRC32/, /our decoder: data digest is/],
  ]
  for (const [name, at, theirs, ours] of places) {
    const flip = (payload: Buffer) => payload.writeUInt8(payload.readUInt8(at) ^ 0x10, at)
    const copy = await changed(file, name, opcodeIs(0x25), flip)
    const { complaints } = await checkCapture(copy, ports)
    t.ok(
      complaints.some((text) => theirs.test(text)),
      `tshark, of a ${name} digest`,
    )
    t.ok(
      complaints.some((text) => ours.test(text)),
      `our decoder, of a ${name} digest`,
    )
  }
})

t.test('what tshark takes for no PDU, or for malformed, is complained of', needs, async (t) => {
  const { file, ports } = await captured('None')
  const reserved = (payload: Buffer) => payload.writeUInt8(0x7f, 2)
  const noPdu = await checkCapture(await changed(file, 'no-pdu', opcodeIs(0x25), reserved), ports)
  t.match(noPdu.complaints[0], /from the target: iscsi.opcode is missing, we say 37/)
  const tooShort = (payload: Buffer) => payload.writeUIntBE(2000, 5, 3)
  const long = await checkCapture(await changed(file, 'long', opcodeIs(0x21), tooShort), ports)
  t.not(long.complaints.length, 0)
})

t.test(
  'a field that our decoder reads differently is complained of by its name',
  needs,
  async (t) => {
    const { file, ports } = await captured('None')
    const bytes = await readFile(file)
    const dissected = await dissect(file, ports, comparedFields)
    const places: [number, number, string][] = [
      [0x23, 8, 'iscsi.isid'],
      [0x23, 36, 'iscsi.login.status'],
      [0x23, 60, 'iscsi.keyvalue'],
      [0x01, 9, 'scsi.lun'],
      [0x01, 24, 'iscsi.cmdsn'],
      [0x21, 3, 'iscsi.scsiresponse.status'],
      [0x21, 27, 'iscsi.statsn'],
      [0x25, 1, 'iscsi.scsidata.U'],
      [0x25, 47, 'iscsi.scsidata.readresidualcount'],
      [0x24, 16, 'iscsi.initiatortasktag'],
    ]
    for (const [opcode, at, field] of places) {
      const frames = decodeCapture(bytes, ports)
      const pdu = [...frames.values()]
        .flatMap(({ pdus }) => pdus)
        .find(({ header }) => (header.readUInt8(0) & 0x3f) === opcode)
      const part = at < 48 ? pdu?.header : pdu?.data
      const position = at < 48 ? at : at - 48
      part?.writeUInt8(part.readUInt8(position) ^ 0x02, position)
      const { complaints } = compareFrames(frames, dissected)
      t.equal(complaints.length, 1, field)
      t.match(complaints[0], `${field} is `)
    }
  },
)

t.test('numbers out of order are complained of', needs, async (t) => {
  const { file, ports } = await captured('None')
  const places: [string, number, number, number, RegExp][] = [
    ['status', 0x21, 24, 2, /StatSN is \d+, wanted \d+/],
    ['expected', 0x24, 28, -2, /ExpCmdSN goes back from \d+ to \d+/],
    ['maximum', 0x24, 32, -2, /MaxCmdSN goes back from \d+ to \d+/],
    ['closed', 0x24, 32, -0x1000, /MaxCmdSN is \d+, and ExpCmdSN \d+/],
  ]
  for (const [name, opcode, at, by, complaint] of places) {
    const add = (payload: Buffer) =>
      payload.writeUInt32BE((payload.readUInt32BE(at) + by) >>> 0, at)
    const copy = await changed(file, name, opcodeIs(opcode), add)
    const { complaints } = await checkCapture(copy, ports)
    t.ok(
      complaints.some((text) => complaint.test(text)),
      `${name}: ${complaints}`,
    )
  }
})

t.test(
  'only after parameter data that end early may tshark leave the rest of a frame',
  async (t) => {
    for (const [opcode, expected, isExcused] of [
      [0x12, 36, true],
      [0x12, 96, false],
      [0x28, 36, false],
    ] as const) {
      const command = new ScsiCommand().init(Buffer.alloc(48), 0)
      command.expectedDataTransferLength = expected
      command.buffer.writeUInt8(opcode, command.cdbPosition)
      const dataIn = new DataIn().init(Buffer.alloc(48), 0)
      dataIn.dataSegmentLength = 36
      const response = new ScsiResponse().init(Buffer.alloc(48), 0)
      const digests = { headerDigest: false, dataDigest: false, partOfText: false, command }
      const pdus = [
        { header: dataIn.buffer, data: Buffer.alloc(36), ...digests },
        { header: response.buffer, data: Buffer.alloc(0), ...digests },
      ]
      const fate = { afterGap: false, afterComplaint: false, complaint: null }
      const frame = { connection: 'a b', sender: 'target', pdus, ...fate } as const
      const shown = comparedFields.map((it) => [it, expectedValues(it, pdus.slice(0, 1))] as const)
      const dissected = { values: new Map(shown), errors: [], warnings: [] }
      const { complaints } = compareFrames(new Map([[1, frame]]), new Map([[1, dissected]]))
      t.equal(complaints.length, isExcused ? 0 : 1, `${opcode.toString(16)} ${expected}`)
    }
  },
)

t.test('packets that are missing end the comparison of their connection', needs, async (t) => {
  const { file, ports } = await captured('None')
  const bytes = await readFile(file)
  const reader = new PcapReader()
  const records = reader.push(bytes)
  const lost = records.findIndex((record) => decodeRecord(record)?.payload[0] === 0x21)
  records.splice(lost, 1)
  const copy = join(directory, 'lost.pcap')
  await writeFile(copy, Buffer.concat([reader.header ?? Buffer.alloc(0), ...records]))
  const report = await checkCapture(copy, ports)
  t.match(report, { gaps: 1, complaints: [] })
  t.ok(report.pdus > 0 && report.pdus < 10, `${report.pdus} PDUs before the gap`)
})
