import {
  decodeText,
  LogoutReason,
  LogoutResponse,
  Reject,
  RejectReason,
  TaskManagementFunction,
  TextResponse,
} from '@platter/protocol/iscsi'
import t, { type Test } from 'tap'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator, TARGET_NAME } from '../support/scripted-initiator.ts'

function start() {
  const { node, executor } = makeNode(new HeldVolume(4096))
  const initiator = new ScriptedInitiator(node)
  initiator.login({ discovery: true })
  return { initiator, executor }
}

/** The last request is rejected, and SendTargets is answered in the next turn. */
function refuses(t: Test, initiator: ScriptedInitiator): void {
  t.equal(initiator.receiveOne(Reject).reason, RejectReason.ProtocolError)
  initiator.text({}, [['SendTargets', 'All']])
  const [target] = decodeText(initiator.receiveOne(TextResponse).data)
  t.same(target, ['TargetName', TARGET_NAME])
  t.equal(initiator.sink.closed, null)
}

t.test('a discovery session takes no SCSI commands', async (t) => {
  const { initiator, executor } = start()
  initiator.command({ opcode: 0x12, read: true, expected: 36 })
  refuses(t, initiator)
  t.same(executor.executed, [])
})

t.test('a discovery session takes no task management', async (t) => {
  const { initiator } = start()
  initiator.manage({ function: TaskManagementFunction.TargetWarmReset })
  refuses(t, initiator)
})

t.test('a discovery session takes no pings, but answers to ours', async (t) => {
  const { initiator } = start()
  initiator.ping(9)
  refuses(t, initiator)
  initiator.ping(0xffffffff, { immediate: true, ttt: 5 })
  t.same(initiator.receive(), [])
})

t.test('a discovery session negotiates nothing but SendTargets', async (t) => {
  const { initiator } = start()
  initiator.text({}, [['MaxRecvDataSegmentLength', '512']])
  refuses(t, initiator)
})

t.test('a discovery session takes the logout of the session only (UNH 17.4.2)', async (t) => {
  for (const reason of [LogoutReason.CloseConnection, LogoutReason.RemoveConnectionForRecovery]) {
    const { initiator } = start()
    initiator.logout(reason)
    refuses(t, initiator)
    initiator.logout(LogoutReason.CloseSession)
    t.equal(initiator.receiveOne(LogoutResponse).response, 0)
    t.match(initiator.sink.closed, { reason: 'logout' })
  }
})
