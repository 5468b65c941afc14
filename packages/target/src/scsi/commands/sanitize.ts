/**
 * SANITIZE (SBC-3 section 5.24) with OVERWRITE, BLOCK ERASE and EXIT FAILURE MODE; there is no key
 * whose loss would be a CRYPTOGRAPHIC ERASE. The operation itself is in sanitizer.ts.
 */
import {
  decodeOverwriteParameters,
  decodeSanitizeCdb,
  internalTargetFailure,
  invalidFieldInCdb,
  invalidFieldInParameterList,
  Opcode,
  OVERWRITE_HEADER_LENGTH,
  type OverwriteParameters,
  parameterListLengthError,
  SanitizeAction,
  type SanitizeCdb,
  Status,
} from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { SanitizeRequest } from '../sanitizer.ts'
import type { ScsiTask } from '../scsi-task.ts'

const PARAMETER_LIST_LENGTH_BYTE = 7

function sanitize(task: ScsiTask, unit: LogicalUnit): void {
  const fields = decodeSanitizeCdb(task.cdb, task.cdbPosition)
  const { sanitizer } = unit
  if (fields === undefined) fail(task, invalidFieldInCdb())
  else if (!hasProperLength(fields, unit)) fail(task, invalidFieldInCdb(PARAMETER_LIST_LENGTH_BYTE))
  else if (sanitizer.hasFailed && !mayFollowFailure(fields, unit)) {
    fail(task, invalidFieldInCdb(1))
  } else if (fields.serviceAction === SanitizeAction.ExitFailureMode) exitFailureMode(task, unit)
  else if (fields.serviceAction === SanitizeAction.BlockErase) {
    start(task, unit, fields, null)
  } else {
    task.next = overwriteReceived
    task.receiveData(fields.parameterListLength)
  }
}

/** A header and a pattern of one to a block's bytes for OVERWRITE; nothing for the others. */
function hasProperLength({ serviceAction, parameterListLength }: SanitizeCdb, unit: LogicalUnit) {
  if (serviceAction !== SanitizeAction.Overwrite) return parameterListLength === 0
  return (
    parameterListLength > OVERWRITE_HEADER_LENGTH &&
    parameterListLength <= OVERWRITE_HEADER_LENGTH + unit.blockSizeBytes
  )
}

/** What failed without AUSE, only an operation of the same kind may follow. */
function mayFollowFailure(fields: SanitizeCdb, unit: LogicalUnit): boolean {
  if (unit.sanitizer.allowsUnrestrictedExit) return true
  return fields.serviceAction !== SanitizeAction.ExitFailureMode && !fields.allowUnrestrictedExit
}

function exitFailureMode(task: ScsiTask, unit: LogicalUnit): void {
  if (!unit.sanitizer.hasFailed) {
    task.finish(Status.Good)
    return
  }
  const saved = task.awaitIo()
  let done = false
  task.next = () => {
    if (done) task.finish(Status.Good)
    else fail(task, internalTargetFailure)
  }
  unit.sanitizer.exitFailureMode((outcome) => {
    done = outcome
    saved.ioCompleted(null)
  })
}

function overwriteReceived(task: ScsiTask): void {
  const fields = decodeSanitizeCdb(task.cdb, task.cdbPosition) as SanitizeCdb
  const unit = task.unit as LogicalUnit
  const whole = task.dataOut.length === fields.parameterListLength
  const parameters = whole ? decodeOverwriteParameters(task.dataOut) : undefined
  // Another SANITIZE may have begun while these data were on their way.
  const { obstacle } = unit.sanitizer
  if (!whole) fail(task, parameterListLengthError)
  else if (parameters === undefined || !isSupported(parameters, unit)) {
    fail(task, invalidFieldInParameterList)
  } else if (obstacle !== null && !unit.sanitizer.hasFailed) fail(task, obstacle)
  else start(task, unit, fields, parameters)
}

function isSupported(parameters: OverwriteParameters, unit: LogicalUnit): boolean {
  const { length } = parameters.pattern
  if (length === 0 || length > unit.blockSizeBytes) return false
  return parameters.overwriteCount > 0 && parameters.test === 0
}

function start(
  task: ScsiTask,
  unit: LogicalUnit,
  fields: SanitizeCdb,
  overwrite: OverwriteParameters | null,
): void {
  const request: SanitizeRequest = {
    method: overwrite === null ? 'block-erase' : 'overwrite',
    allowUnrestrictedExit: fields.allowUnrestrictedExit,
    pattern: overwrite?.pattern.toString('hex') ?? '',
    invert: overwrite?.invert ?? false,
    overwriteCount: overwrite?.overwriteCount ?? 1,
    failed: false,
  }
  const accepted = task.awaitIo()
  let certain = false
  task.next = () => {
    if (!certain) fail(task, internalTargetFailure)
    else if (fields.immediate) task.finish(Status.Good)
    else unit.sanitizer.waiter = task
  }
  unit.sanitizer.start(request, (done) => {
    certain = done
    accepted.ioCompleted(null)
  })
}

const names = {
  [SanitizeAction.Overwrite]: 'OVERWRITE',
  [SanitizeAction.BlockErase]: 'BLOCK ERASE',
  [SanitizeAction.ExitFailureMode]: 'EXIT FAILURE MODE',
}

export const sanitizeCommands: readonly Command[] = Object.entries(names).map(
  ([serviceAction, name]) => ({
    name: `SANITIZE (${name})`,
    opcode: Opcode.Sanitize,
    serviceAction: Number(serviceAction),
    // Every bit of bytes 1 to 6 is looked at: those that mean nothing must be 0.
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.Sanitize, 0xe0 | Number(serviceAction), 255, 255, 255, 255, 255, 255, 255, CONTROL_USAGE),
    access: 'change',
    effect: 'blocks',
    execute: sanitize,
  }),
)
