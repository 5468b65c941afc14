/** The mode pages of a unit: their values now and by default, and which of their bits can be changed. */
import {
  type ControlPage,
  encodeCachingPage,
  encodeControlPage,
  encodeInformationalExceptionsPage,
  encodeReadWriteErrorRecoveryPage,
  ModePage,
} from '@platter/protocol/scsi'
import type { LogicalUnit } from './logical-unit.ts'

const controlByDefault: ControlPage = {
  descriptorSense: false,
  globalLoggingTargetSaveDisable: true,
  queueAlgorithmModifier: 1,
  softwareWriteProtect: false,
  taskAbortedStatus: false,
}

function cachingPage(writeCacheEnabled: boolean): Buffer {
  return encodeCachingPage({ writeCacheEnabled, readCacheDisabled: false })
}

/** Every page in ascending order. */
const defaults: ReadonlyMap<number, Buffer> = new Map([
  [ModePage.ReadWriteErrorRecovery, encodeReadWriteErrorRecoveryPage()],
  // A WRITE is GOOD once its blocks are in the page cache of the server.
  [ModePage.Caching, cachingPage(true)],
  [ModePage.Control, encodeControlPage(controlByDefault)],
  [ModePage.InformationalExceptions, encodeInformationalExceptionsPage(true)],
])

const changeableControl = encodeControlPage({
  descriptorSense: true,
  globalLoggingTargetSaveDisable: false,
  queueAlgorithmModifier: 0,
  softwareWriteProtect: true,
  taskAbortedStatus: false,
})

/** The codes of all pages, ascending. */
export const modePageCodes: readonly number[] = [...defaults.keys()]

/** Undefined for a page that does not exist. */
export function defaultModePage(pageCode: number): Buffer | undefined {
  return defaults.get(pageCode)
}

export function currentModePage(unit: LogicalUnit, pageCode: number): Buffer | undefined {
  if (pageCode === ModePage.Caching) return cachingPage(unit.writeCacheEnabled)
  if (pageCode !== ModePage.Control) return defaults.get(pageCode)
  const { descriptorSense, softwareWriteProtect } = unit
  return encodeControlPage({ ...controlByDefault, descriptorSense, softwareWriteProtect })
}

/** The page's header, and then a 1 for each bit that MODE SELECT can change. */
export function changeableModePage(pageCode: number): Buffer | undefined {
  if (pageCode === ModePage.Control) return changeableControl
  if (pageCode === ModePage.Caching) return cachingPage(true)
  const page = defaults.get(pageCode)
  if (page === undefined) return undefined
  const mask = Buffer.alloc(page.length)
  page.copy(mask, 0, 0, 2)
  return mask
}
