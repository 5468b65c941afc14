/** Has a unit refuse writes, as a host asks for it: SWP of the control mode page. */
import {
  encodeControlPage,
  encodeModeSelectCdb,
  encodeModeSelectList,
  Opcode,
} from '@platter/protocol/scsi'
import { RawConnection } from './raw-connection.ts'
import { WireInitiator } from './wire-initiator.ts'

/** What is protected: the port where the target listens on the loopback interface, and which unit. */
export interface UnitPlace {
  readonly port: number
  readonly targetName: string
  readonly lun: number
}

/** Sets or clears SWP by MODE SELECT(6); it stays when the session ends. */
export async function setWriteProtection(
  { port, targetName, lun }: UnitPlace,
  softwareWriteProtect: boolean,
): Promise<void> {
  const page = encodeControlPage({
    descriptorSense: false,
    globalLoggingTargetSaveDisable: true,
    queueAlgorithmModifier: 1,
    softwareWriteProtect,
    taskAbortedStatus: false,
  })
  const data = encodeModeSelectList([page], false)
  const cdb = Buffer.alloc(16)
  const options = { pageFormat: true, savePages: false, parameterListLength: data.length }
  encodeModeSelectCdb(cdb, 0, Opcode.ModeSelect6, options)
  const connection = await RawConnection.logIn(port, { targetName })
  const session = { isid: 1, tsih: connection.tsih, cmdSN: 1, taskTag: 1 }
  const initiator = new WireInitiator(connection, lun, session)
  await initiator.alive()
  initiator.command(cdb, 'write', { expected: data.length, data })
  const { status } = await initiator.receive()
  initiator.close()
  if (status !== 0) throw new Error(`MODE SELECT got status ${status}`)
}
