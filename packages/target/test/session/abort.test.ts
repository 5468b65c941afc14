/** Tasks that have to end in the middle of what they do, and are answered (`failTasks` of the nexus). */
import { DataIn, ReadyToTransfer, ScsiResponse } from '@platter/protocol/iscsi'
import t, { type Test } from 'tap'
import type { NexusTransport, ScsiTask } from '../../src/scsi/scsi-task.ts'
import { SENSE } from '../support/block-executor.ts'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

/** A page is written as soon as it has come. */
const PAGE = 4096
const first = Buffer.alloc(PAGE, 1)
const second = Buffer.alloc(PAGE, 2)
const write = { opcode: 0x2a, blocks: (2 * PAGE) / 512, write: true } as const
const read = { opcode: 0x28, blocks: 1, read: true } as const

/** A session at a volume that does at once what is asked; `forbid` fails what is for the chosen block. */
function start() {
  const volume = new HeldVolume(64 * 1024)
  volume.now = () => true
  const { node, executor } = makeNode(volume)
  const initiator = new ScriptedInitiator(node)
  initiator.login({ keys: { InitialR2T: 'No' } })
  let ended = 0
  const forbid = (lba = 0) => {
    const senseOf = (task: ScsiTask) => (task.cdb.readUInt32BE(2) === lba ? SENSE : null)
    const [transport] = executor.transports as [NexusTransport]
    transport.failTasks(senseOf, () => ended++)
  }
  return { volume, executor, initiator, forbid, ended: () => ended }
}

/** What `tag` is answered: CHECK CONDITION with the sense data, and no other PDU. */
function isForbidden(t: Test, initiator: ScriptedInitiator, tag: number): void {
  const { initiatorTaskTag, status, data } = initiator.receiveOne(ScsiResponse)
  t.same([initiatorTaskTag, status], [tag, 2])
  t.ok(data.subarray(2).equals(SENSE))
}

function goesOn(t: Test, initiator: ScriptedInitiator): void {
  initiator.command({ ...read, lba: 1 })
  const { hasStatus, status } = initiator.receiveOne(DataIn)
  t.same([hasStatus, status], [true, 0], 'the session goes on')
}

t.test('a write forbidden half received drops the rest, and is answered after it', async (t) => {
  const { volume, executor, initiator, forbid, ended } = start()
  const tag = initiator.command(write)
  const { targetTransferTag: ttt } = initiator.receiveOne(ReadyToTransfer)
  initiator.dataOut({ tag, ttt, offset: 0, final: false }, first)
  forbid()
  t.same([initiator.receive(), ended()], [[], 0], 'the initiator still owes data')
  t.equal(executor.abortedTasks.length, 1, 'the SCSI layer is rid of it at once')
  initiator.dataOut({ tag, ttt, offset: PAGE, dataSN: 1 }, second)
  isForbidden(t, initiator, tag)
  t.equal(ended(), 1)
  t.same(volume.writes, [{ offset: 0, length: PAGE }], 'only what came before is written')
  goesOn(t, initiator)
})

t.test('data sent unasked for a forbidden write are dropped as well', async (t) => {
  const { volume, initiator, forbid, ended } = start()
  const tag = initiator.command({ ...write, final: false }, first)
  forbid()
  t.same([initiator.receive(), ended()], [[], 0])
  initiator.dataOut({ tag, offset: PAGE }, second)
  isForbidden(t, initiator, tag)
  t.equal(ended(), 1)
  t.same(volume.writes, [{ offset: 0, length: PAGE }])
  goesOn(t, initiator)
})

t.test('data that a forbidden write still owes are not waited for without end', async (t) => {
  const { volume, initiator, forbid, ended } = start()
  const tag = initiator.command(write)
  const { targetTransferTag: ttt } = initiator.receiveOne(ReadyToTransfer)
  forbid()
  for (const nowMs of [1000, 2000, 2999]) initiator.connection.onTimer(nowMs)
  t.same([initiator.receive(), ended()], [[], 0])
  initiator.connection.onTimer(3000)
  isForbidden(t, initiator, tag)
  t.equal(ended(), 1)
  initiator.dataOut({ tag, ttt, offset: 0 }, Buffer.concat([first, second]))
  t.same(volume.writes, [])
})

t.test('a forbidden task ends when its storage operations have, and others go on', async (t) => {
  const { volume, initiator, forbid, ended } = start()
  volume.now = () => false
  const tag = initiator.command(read)
  const other = initiator.command({ ...read, lba: 1 })
  forbid()
  t.same([initiator.receive(), ended()], [[], 0])
  volume.release()
  isForbidden(t, initiator, tag)
  t.equal(ended(), 1)
  volume.release()
  t.match(initiator.receiveOne(DataIn), { initiatorTaskTag: other, status: 0 })
})

t.test('where nothing is forbidden, nothing is waited for', async (t) => {
  const { initiator, forbid, ended } = start()
  initiator.command(write)
  initiator.receiveOne(ReadyToTransfer)
  forbid(7)
  t.equal(ended(), 1)
  t.same(initiator.receive(), [])
})
