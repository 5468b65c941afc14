/** REPORT TARGET PORT GROUPS (SPC-4 section 6.37): one group, always active and optimized. */
import {
  decodeTargetPortGroupsCdb,
  encodeTargetPortGroups,
  invalidFieldInCdb,
  MaintenanceIn,
  Opcode,
  PortGroupFormat,
  PortGroupState,
  PortGroupSupport,
} from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail, sendParameterData } from '../command.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { RELATIVE_TARGET_PORT, TARGET_PORT_GROUP } from '../target-port.ts'

const FORMAT = 0xe0

const groups = [
  {
    state: PortGroupState.ActiveOptimized,
    supportedStates: PortGroupSupport.ActiveOptimized,
    targetPortGroup: TARGET_PORT_GROUP,
    ports: [RELATIVE_TARGET_PORT],
  },
]

function report(task: ScsiTask): void {
  const { format, allocationLength } = decodeTargetPortGroupsCdb(task.cdb, task.cdbPosition)
  if (format > PortGroupFormat.Extended) {
    fail(task, invalidFieldInCdb(1, 7))
    return
  }
  const data = encodeTargetPortGroups(groups, format === PortGroupFormat.Extended)
  sendParameterData(task, data, allocationLength)
}

export const reportTargetPortGroupsCommand: Command = {
  name: 'REPORT TARGET PORT GROUPS',
  opcode: Opcode.MaintenanceIn,
  serviceAction: MaintenanceIn.ReportTargetPortGroups,
  // biome-ignore format: a CDB is one line
  usage: Uint8Array.of(Opcode.MaintenanceIn, FORMAT | MaintenanceIn.ReportTargetPortGroups, 0, 0, 0, 0, 255, 255, 255, 255, 0, CONTROL_USAGE),
  access: 'nothing',
  effect: 'none',
  execute: report,
}
