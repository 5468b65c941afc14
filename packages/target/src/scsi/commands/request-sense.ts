/**
 * REQUEST SENSE (SPC-4 section 6.39): the pending unit attention, how far a sanitize operation
 * is, or that there is nothing to say.
 */
import type { Sense } from '@platter/protocol/scsi'
import {
  decodeRequestSenseCdb,
  encodeDescriptorSense,
  encodeFixedSense,
  logicalUnitNotSupported,
  noSense,
  Opcode,
} from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, sendParameterData } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiNexus } from '../nexus.ts'
import type { ScsiTask } from '../scsi-task.ts'

function requestSense(task: ScsiTask, unit: LogicalUnit, nexus: ScsiNexus): void {
  send(task, nexus.takeAttention(unit) ?? unit.sanitizer.obstacle ?? noSense)
}

function requestSenseWithoutUnit(task: ScsiTask): void {
  send(task, logicalUnitNotSupported)
}

function send(task: ScsiTask, sense: Sense): void {
  const { descriptorFormat, allocationLength } = decodeRequestSenseCdb(task.cdb, task.cdbPosition)
  const data = descriptorFormat ? encodeDescriptorSense(sense) : encodeFixedSense(sense)
  sendParameterData(task, data, allocationLength)
}

export const requestSenseCommand: Command = {
  name: 'REQUEST SENSE',
  opcode: Opcode.RequestSense,
  usage: Uint8Array.of(Opcode.RequestSense, 0x01, 0, 0, 0xff, CONTROL_USAGE),
  access: 'nothing',
  effect: 'none',
  execute: requestSense,
  executeWithoutUnit: requestSenseWithoutUnit,
  passesUnitAttention: true,
}
