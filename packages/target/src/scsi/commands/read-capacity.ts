/** READ CAPACITY(10) and (16): SBC-3 sections 5.15 and 5.16. */
import {
  decodeReadCapacity16Cdb,
  encodeCapacity10,
  encodeCapacity16,
  Opcode,
  ServiceActionIn,
} from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, sendParameterData } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'

function readCapacity10(task: ScsiTask, unit: LogicalUnit): void {
  task.sendData(
    encodeCapacity10({ lastLba: unit.capacityBlocks - 1, blockSizeBytes: unit.blockSizeBytes }),
  )
}

function readCapacity16(task: ScsiTask, unit: LogicalUnit): void {
  const data = encodeCapacity16({
    lastLba: unit.capacityBlocks - 1,
    blockSizeBytes: unit.blockSizeBytes,
    physicalBlockExponent: unit.physicalBlockExponent,
    lowestAlignedLba: 0,
    provisioningManaged: true,
    readsZeros: true,
  })
  sendParameterData(task, data, decodeReadCapacity16Cdb(task.cdb, task.cdbPosition))
}

export const readCapacityCommands: readonly Command[] = [
  {
    name: 'READ CAPACITY(10)',
    opcode: Opcode.ReadCapacity10,
    usage: Uint8Array.of(Opcode.ReadCapacity10, 0, 0, 0, 0, 0, 0, 0, 0, CONTROL_USAGE),
    access: 'nothing',
    effect: 'none',
    execute: readCapacity10,
  },
  {
    name: 'READ CAPACITY(16)',
    opcode: Opcode.ServiceActionIn16,
    serviceAction: ServiceActionIn.ReadCapacity16,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.ServiceActionIn16, ServiceActionIn.ReadCapacity16, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'nothing',
    effect: 'none',
    execute: readCapacity16,
  },
]
