/** READ DEFECT DATA(10) and (12): SBC-3 sections 5.17 and 5.18. The disks below hide theirs. */
import { decodeReadDefectDataCdb, encodeEmptyDefectList, Opcode } from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, sendParameterData } from '../command.ts'
import type { ScsiTask } from '../scsi-task.ts'

function readDefectData(task: ScsiTask): void {
  const { listsAndFormat, allocationLength } = decodeReadDefectDataCdb(task.cdb, task.cdbPosition)
  const data = encodeEmptyDefectList(task.cdb.readUInt8(task.cdbPosition), listsAndFormat)
  sendParameterData(task, data, allocationLength)
}

export const readDefectDataCommands: readonly Command[] = [
  {
    name: 'READ DEFECT DATA(10)',
    opcode: Opcode.ReadDefectData10,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.ReadDefectData10, 0, 0x1f, 0, 0, 0, 0, 255, 255, CONTROL_USAGE),
    access: 'read',
    effect: 'none',
    execute: readDefectData,
  },
  {
    name: 'READ DEFECT DATA(12)',
    opcode: Opcode.ReadDefectData12,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.ReadDefectData12, 0x1f, 0, 0, 0, 0, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'read',
    effect: 'none',
    execute: readDefectData,
  },
]
