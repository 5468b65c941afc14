import t from 'tap'
import { type BasicHeader, BHS_LENGTH, RESERVED_TAG } from '../../src/iscsi/bhs.ts'
import { describePdu } from '../../src/iscsi/describe.ts'
import { Opcode, opcodeName } from '../../src/iscsi/opcode.ts'
import { DataIn } from '../../src/iscsi/pdu/data-in.ts'
import { LoginRequest, LoginResponse } from '../../src/iscsi/pdu/login.ts'
import { NopIn } from '../../src/iscsi/pdu/nop.ts'
import { Reject } from '../../src/iscsi/pdu/reject.ts'
import { ScsiCommand } from '../../src/iscsi/pdu/scsi-command.ts'
import { TaskManagementRequest } from '../../src/iscsi/pdu/task-management.ts'
import { LoginStatus, RejectReason, TaskManagementFunction } from '../../src/iscsi/status.ts'

/** What is said of a header with these fields. */
function said<H extends BasicHeader>(view: H, fill: (header: H) => void): string {
  view.init(Buffer.alloc(BHS_LENGTH), 0)
  fill(view)
  return describePdu(view.buffer)
}

t.test('a SCSI Command shows flags, tags, lengths, LUN and CDB', async (t) => {
  const line = said(new ScsiCommand(), (header) => {
    header.final = true
    header.read = true
    header.attribute = 1
    header.initiatorTaskTag = 0x1f
    header.expectedDataTransferLength = 4096
    header.cmdSN = 7
    header.expStatSN = 9
    header.totalAHSLength = 2
    header.copyLun(Buffer.from('0001000000000000', 'hex'), 0)
    header.buffer.write('2800000000080000080000', header.cdbPosition, 'hex')
  })
  t.equal(
    line,
    'ScsiCommand final read initiatorTaskTag=0x1f expectedDataTransferLength=4096 cmdSN=7' +
      ' expStatSN=9 attribute=1 lun=0001000000000000 cdb=28000000000800000800000000000000' +
      ' ahs=8 bytes',
  )
})

t.test('numbers that have names are named', async (t) => {
  const reset = said(new TaskManagementRequest(), (header) => {
    header.immediate = true
    header.function = TaskManagementFunction.LogicalUnitReset
    header.referencedTaskTag = RESERVED_TAG
  })
  t.match(reset, /^TaskManagementRequest immediate .*referencedTaskTag=none .*=LogicalUnitReset/)
  const reject = said(new Reject(), (header) => {
    header.reason = RejectReason.InvalidPduField
    header.dataSegmentLength = 48
  })
  t.match(reject, /^Reject initiatorTaskTag=none reason=InvalidPduField .* data=48 bytes$/)
  const failed = said(new LoginResponse(), (header) => {
    header.statusClass = LoginStatus.AuthenticationFailure >> 8
    header.statusDetail = LoginStatus.AuthenticationFailure & 0xff
  })
  t.match(failed, / statusClass=2 statusDetail=1 .*AuthenticationFailure/)
  const unknown = said(new TaskManagementRequest(), (header) => {
    header.function = 0x55
  })
  t.match(unknown, / function=0x55/)
})

t.test('a Login Request shows its stages and its ISID', async (t) => {
  const line = said(new LoginRequest(), (header) => {
    header.transit = true
    header.currentStage = 1
    header.nextStage = 3
    header.buffer.write('400001370000', header.isidPosition, 'hex')
  })
  t.match(line, /^LoginRequest immediate transit .* currentStage=1 nextStage=3 isid=400001370000$/)
})

t.test('a tag of all ones stands for none', async (t) => {
  const ping = said(new NopIn(), (header) => {
    header.initiatorTaskTag = RESERVED_TAG
    header.targetTransferTag = 0x10
  })
  t.match(ping, /^NopIn initiatorTaskTag=none targetTransferTag=0x10 /)
})

t.test('a header is described where it lies', async (t) => {
  const buffer = Buffer.alloc(100, 0xff)
  const header = new DataIn().init(buffer, 10)
  header.hasStatus = true
  header.bufferOffset = 8192
  t.match(describePdu(buffer, 10), /^DataIn hasStatus .* bufferOffset=8192 /)
})

t.test('there are words for every opcode', async (t) => {
  for (const opcode of Object.values(Opcode)) {
    const header = Buffer.alloc(BHS_LENGTH)
    header[0] = opcode
    t.match(describePdu(header), new RegExp(`^${opcodeName(opcode)} initiatorTaskTag=0x0 `))
  }
})

t.test('what is no PDU is shown as it is', async (t) => {
  const header = Buffer.alloc(BHS_LENGTH, 0x3e)
  t.equal(describePdu(header), `opcode 0x3e: ${'3e'.repeat(48)}`)
  t.equal(describePdu(header, 40), `part of a header: ${'3e'.repeat(8)}`)
  t.equal(describePdu(header, 60), 'part of a header: ')
})
