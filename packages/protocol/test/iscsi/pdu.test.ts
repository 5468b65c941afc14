import type { Structure } from 'buffer-layout'
import fc from 'fast-check'
import t from 'tap'
import { type BasicHeader, BHS_LENGTH, bhsOffsets, RESERVED_TAG } from '../../src/iscsi/bhs.ts'
import { Opcode, opcodeName } from '../../src/iscsi/opcode.ts'
import { AsyncMessage, asyncMessageLayout } from '../../src/iscsi/pdu/async-message.ts'
import { DataIn, dataInLayout } from '../../src/iscsi/pdu/data-in.ts'
import { DataOut, dataOutLayout } from '../../src/iscsi/pdu/data-out.ts'
import * as login from '../../src/iscsi/pdu/login.ts'
import * as logout from '../../src/iscsi/pdu/logout.ts'
import { NopIn, NopOut, nopInLayout, nopOutLayout } from '../../src/iscsi/pdu/nop.ts'
import { ReadyToTransfer, readyToTransferLayout } from '../../src/iscsi/pdu/ready-to-transfer.ts'
import { Reject, rejectLayout } from '../../src/iscsi/pdu/reject.ts'
import { ScsiCommand, scsiCommandLayout } from '../../src/iscsi/pdu/scsi-command.ts'
import { ScsiResponse, scsiResponseLayout } from '../../src/iscsi/pdu/scsi-response.ts'
import { SnackRequest, snackRequestLayout } from '../../src/iscsi/pdu/snack.ts'
import * as task from '../../src/iscsi/pdu/task-management.ts'
import * as text from '../../src/iscsi/pdu/text.ts'

type Fields = Record<string, unknown>
type Row = readonly [view: BasicHeader, layout: Structure<never>, firstBytes: string]

/** Every PDU, its layout, and the first two bytes of one that has just been begun. */
const pdus = [
  [new NopOut(), nopOutLayout, '0080'],
  [new ScsiCommand(), scsiCommandLayout, '0100'],
  [new task.TaskManagementRequest(), task.taskManagementRequestLayout, '0280'],
  [new login.LoginRequest(), login.loginRequestLayout, '4300'],
  [new text.TextRequest(), text.textRequestLayout, '0400'],
  [new DataOut(), dataOutLayout, '0500'],
  [new logout.LogoutRequest(), logout.logoutRequestLayout, '0680'],
  [new SnackRequest(), snackRequestLayout, '1080'],
  [new NopIn(), nopInLayout, '2080'],
  [new ScsiResponse(), scsiResponseLayout, '2180'],
  [new task.TaskManagementResponse(), task.taskManagementResponseLayout, '2280'],
  [new login.LoginResponse(), login.loginResponseLayout, '2300'],
  [new text.TextResponse(), text.textResponseLayout, '2400'],
  [new DataIn(), dataInLayout, '2500'],
  [new logout.LogoutResponse(), logout.logoutResponseLayout, '2680'],
  [new ReadyToTransfer(), readyToTransferLayout, '3180'],
  [new AsyncMessage(), asyncMessageLayout, '3280'],
  [new Reject(), rejectLayout, '3f80'],
] as unknown as readonly Row[]

/** Where a view says that a field of several bytes begins. */
const positionOf: Readonly<Record<string, string>> = {
  lun: 'lunPosition',
  isid: 'isidPosition',
  cdb: 'cdbPosition',
}

const header = fc.uint8Array({ minLength: BHS_LENGTH, maxLength: BHS_LENGTH })
const base = fc.nat(9)

function nameOf([view]: Row): string {
  return view.constructor.name
}

t.test('there is one view for every opcode, under its name', async (t) => {
  const found = pdus.map((row) => [nameOf(row), Number.parseInt(row[2].slice(0, 2), 16) & 0x3f])
  t.same(found, Object.entries(Opcode))
  for (const [name, opcode] of Object.entries(Opcode)) t.equal(opcodeName(opcode), name)
  t.equal(opcodeName(0x3e), 'opcode 0x3e')
})

t.test('each getter reads what the layout decodes, at any place in a buffer', async (t) => {
  for (const row of pdus) {
    const [view, layout] = row
    const property = fc.property(header, base, (bytes, base) => {
      const buffer = Buffer.concat([Buffer.alloc(base, 0xee), bytes, Buffer.alloc(5, 0xee)])
      view.at(buffer, base)
      const { opcode, flags, ...fields } = layout.decode(buffer, base) as Fields
      t.equal(view.opcode, (opcode as number) & 0x3f)
      t.equal(view.immediate, ((opcode as number) & 0x40) !== 0)
      t.equal(flags, buffer[base + 1])
      for (const [name, value] of Object.entries(fields)) {
        if (!Buffer.isBuffer(value)) {
          t.equal(Reflect.get(view, name), value, `${nameOf(row)}.${name}`)
          continue
        }
        const at = Reflect.get(view, positionOf[name] as string) as number
        t.ok(value.equals(buffer.subarray(at, at + value.length)), `${nameOf(row)}.${name}`)
      }
    })
    fc.assert(property, { numRuns: 10 })
  }
})

t.test('each setter writes what the layout encodes, and nothing besides', async (t) => {
  for (const row of pdus) {
    const [view, layout] = row
    fc.assert(
      fc.property(header, base, (bytes, base) => {
        const values = layout.decode(Buffer.from(bytes)) as Fields
        const wanted = Buffer.alloc(base + BHS_LENGTH + 5, 0xee)
        const got = Buffer.from(wanted)
        const fields = Object.entries(values).filter(
          ([name]) => !['opcode', 'flags'].includes(name),
        )
        view.init(got, base)
        for (const [name, value] of fields) {
          if (!Buffer.isBuffer(value)) Reflect.set(view, name, value)
          else if (name === 'lun') view.copyLun(value, 0)
          else value.copy(got, Reflect.get(view, positionOf[name] as string) as number)
        }
        wanted.fill(0, base, base + BHS_LENGTH)
        layout.encode(Object.fromEntries(fields) as never, wanted, base)
        wanted.write(row[2], base, 'hex')
        if (!got.equals(wanted)) t.same(got.toString('hex'), wanted.toString('hex'), nameOf(row))
      }),
      { numRuns: 20 },
    )
  }
})

t.test('a PDU that is begun is all zeros but for its fixed bits and tags', async (t) => {
  for (const row of pdus) {
    const [view, , firstBytes] = row
    const got = view.init(Buffer.alloc(BHS_LENGTH, 0xee), 0).buffer.toString('hex')
    const tag = ['AsyncMessage', 'Reject'].includes(nameOf(row)) ? 'ffffffff' : '00000000'
    t.equal(got, `${firstBytes}${'00'.repeat(14)}${tag}${'00'.repeat(28)}`, nameOf(row))
  }
})

/** Each flag and number that shares a byte: its field, a value, and the two bytes it is in. */
const flags: readonly (readonly [
  view: BasicHeader,
  name: string,
  value: unknown,
  bytes: string,
])[] = [
  [new ScsiCommand(), 'immediate', true, '4100'],
  [new ScsiCommand(), 'final', true, '0180'],
  [new ScsiCommand(), 'read', true, '0140'],
  [new ScsiCommand(), 'write', true, '0120'],
  [new ScsiCommand(), 'attribute', 7, '0107'],
  [new ScsiResponse(), 'bidirectionalReadResidualOverflow', true, '2190'],
  [new ScsiResponse(), 'bidirectionalReadResidualUnderflow', true, '2188'],
  [new ScsiResponse(), 'residualOverflow', true, '2184'],
  [new ScsiResponse(), 'residualUnderflow', true, '2182'],
  [new task.TaskManagementRequest(), 'function', 8, '0288'],
  [new DataOut(), 'final', true, '0580'],
  [new DataIn(), 'final', true, '2580'],
  [new DataIn(), 'acknowledge', true, '2540'],
  [new DataIn(), 'residualOverflow', true, '2504'],
  [new DataIn(), 'residualUnderflow', true, '2502'],
  [new DataIn(), 'hasStatus', true, '2501'],
  [new ReadyToTransfer(), 'final', true, '3180'],
  [new text.TextRequest(), 'final', true, '0480'],
  [new text.TextRequest(), 'continued', true, '0440'],
  [new text.TextResponse(), 'final', true, '2480'],
  [new text.TextResponse(), 'continued', true, '2440'],
  [new login.LoginRequest(), 'transit', true, '4380'],
  [new login.LoginRequest(), 'continued', true, '4340'],
  [new login.LoginRequest(), 'currentStage', 3, '430c'],
  [new login.LoginRequest(), 'nextStage', 3, '4303'],
  [new login.LoginResponse(), 'transit', true, '2380'],
  [new login.LoginResponse(), 'continued', true, '2340'],
  [new login.LoginResponse(), 'currentStage', 1, '2304'],
  [new login.LoginResponse(), 'nextStage', 1, '2301'],
  [new logout.LogoutRequest(), 'reasonCode', 2, '0682'],
  [new SnackRequest(), 'type', 3, '1083'],
]

t.test('each flag is at the bit where the RFC has it', async (t) => {
  for (const [view, name, value, bytes] of flags) {
    const label = `${view.constructor.name}.${name}`
    view.init(Buffer.alloc(BHS_LENGTH), 0)
    Reflect.set(view, name, value)
    t.equal(view.buffer.toString('hex', 0, 2), bytes, label)
    t.equal(Reflect.get(view, name), value, label)
    const rest = view.buffer.subarray(2).every((byte) => byte === 0)
    t.ok(rest, `${label} touches no other byte`)
  }
})

t.test('a flag is set and cleared without touching its neighbours', async (t) => {
  for (const [view, name, value] of flags) {
    if (name === 'function' || name === 'reasonCode' || name === 'type') continue
    view.init(Buffer.alloc(BHS_LENGTH), 0).buffer.fill(0xff)
    Reflect.set(view, name, typeof value === 'number' ? 0 : false)
    const cleared = BigInt(`0x${view.buffer.toString('hex')}`)
    Reflect.set(view, name, typeof value === 'number' ? 0xff : true)
    t.ok(
      view.buffer.every((byte) => byte === 0xff),
      `${view.constructor.name}.${name} set again`,
    )
    const bits = [...(cleared ^ ((1n << 384n) - 1n)).toString(2)].filter(
      (bit) => bit === '1',
    ).length
    const wanted = { attribute: 3, currentStage: 2, nextStage: 2 }[name] ?? 1
    t.equal(bits, wanted, `${view.constructor.name}.${name} cleared`)
  }
})

t.test('opcode and I bit share a byte and keep out of each other', async (t) => {
  const view = new NopOut().init(Buffer.alloc(BHS_LENGTH), 0)
  view.immediate = true
  view.opcode = 0x3f
  t.equal(view.buffer[0], 0x7f)
  view.immediate = false
  t.equal(view.opcode, 0x3f)
  t.equal(view.buffer[0], 0x3f)
})

t.test('lengths and sequence numbers hold their largest values', async (t) => {
  const view = new ScsiCommand().init(Buffer.alloc(BHS_LENGTH), 0)
  view.dataSegmentLength = 0xffffff
  view.totalAHSLength = 255
  view.cmdSN = 0xffffffff
  view.initiatorTaskTag = RESERVED_TAG
  t.equal(view.dataSegmentLength, 0xffffff)
  t.equal(view.totalAHSLength, 255)
  t.equal(view.cmdSN, 0xffffffff)
  t.equal(view.initiatorTaskTag, RESERVED_TAG)
  t.throws(() => {
    view.dataSegmentLength = 0x1000000
  }, RangeError)
})

t.test('a layout that does not span a whole header is refused at load', async (t) => {
  t.throws(() => bhsOffsets({ ...scsiCommandLayout, span: 44 } as typeof scsiCommandLayout), {
    message: 'a PDU layout spans 44 bytes, wanted 48',
  })
})

t.test('misspelt fields are errors of compilation', async (t) => {
  const at = bhsOffsets(scsiCommandLayout)
  // @ts-expect-error: the RFC, and so the layout, spells it initiatorTaskTag
  t.equal(at.initiatorTasktag, undefined)
  const decoded = scsiCommandLayout.decode(Buffer.alloc(BHS_LENGTH))
  // @ts-expect-error: as above
  t.equal(decoded.initiatorTasktag, undefined)
  const tag: number = decoded.initiatorTaskTag
  const cdb: Buffer = decoded.cdb
  t.equal(tag, 0)
  t.equal(cdb.length, 16)
})
