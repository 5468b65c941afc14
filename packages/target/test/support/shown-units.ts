/** A device server that shows the same units to every initiator port. */
import { DeviceServer } from '../../src/scsi/device-server.ts'
import type { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import type { UnitView } from '../../src/scsi/nexus.ts'

/** What a port sees that may change all of `units`, which are by LUN, but for those that are `readOnly`. */
export function viewOf(
  units: Iterable<readonly [number, LogicalUnit]>,
  readOnly: readonly LogicalUnit[] = [],
): UnitView {
  return { byLun: new Map(units), readOnly: new Set(readOnly) }
}

export class ShownUnits extends DeviceServer {
  readonly #units: Map<number, LogicalUnit>

  constructor() {
    const units = new Map<number, LogicalUnit>()
    super(() => viewOf(units))
    this.#units = units
  }

  addUnit(lun: number, unit: LogicalUnit): void {
    this.#units.set(lun, unit)
    this.viewsChanged(() => {})
  }

  removeUnit(lun: number): void {
    this.#units.delete(lun)
    this.viewsChanged(() => {})
  }
}
