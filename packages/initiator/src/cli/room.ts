/** Where in a partition an image goes, if that fits. */
import type { BlockDevice } from '../block/block-device.ts'
import { BlockError } from '../block/block-error.ts'
import { DeviceImage } from '../copy/device-image.ts'
import { CliFailure, ExitCode } from './io.ts'

/** The place in a device for so many bytes, or all from `offset` on. Throws when it cannot take them. */
export function roomFor(
  device: BlockDevice,
  offset: number,
  lengthBytes: number | null,
  what: string,
): DeviceImage {
  const { name, sizeBytes } = device
  if (device.readOnly) {
    throw new BlockError('EROFS', `${name} is write protected; nothing was written`)
  }
  const room = sizeBytes - offset
  if (lengthBytes !== null && lengthBytes > room) {
    const place = offset === 0 ? name : `${name} from ${offset} on`
    const message = `${what} has ${lengthBytes} bytes, and ${place} ${Math.max(room, 0)}`
    throw new CliFailure(ExitCode.Failed, 'too-large', `${message}; nothing was written`)
  }
  return new DeviceImage(device, offset, lengthBytes ?? undefined)
}
