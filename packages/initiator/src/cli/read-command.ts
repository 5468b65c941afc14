/** `platter read`: a partition to an image. */
import { Command } from 'commander'
import { DeviceImage } from '../copy/device-image.ts'
import { createImage, ImageExistsError } from '../copy/file-image.ts'
import { StreamSink } from '../copy/stream-image.ts'
import { readHost } from './authentication.ts'
import { CliFailure, type CliIo, ExitCode } from './io.ts'
import { PARTITION, type PartitionPlace, partitionArgument, withPartition } from './partition.ts'
import { type PathFlags, withPaths } from './path-flags.ts'
import { type PortalFlags, withHost } from './portal.ts'
import { Progress } from './progress.ts'
import { offsetArgument } from './size.ts'
import { describeResult, type TransferFlags, transfer, withTransfer } from './transfer.ts'

interface Flags extends PortalFlags, PathFlags, TransferFlags {
  readonly json?: boolean
  readonly offset: number
  readonly force?: boolean
}

export function readCommand(io: CliIo): Command {
  const command = new Command('read')
    .description('copy a partition to an image file, or to standard output')
    .argument('<partition>', PARTITION, partitionArgument)
    .argument('<image>', 'a file that is not there yet, a block device, or - for standard output')
    .option('--force', 'overwrite the image if it exists')
    .option('--offset <size>', 'where in the partition to begin', offsetArgument, 0)
  return withPaths(
    withHost(withTransfer(command, 'write zeros into the image (default: leave holes)')),
  ).action((place: PartitionPlace, image: string, flags: Flags) => read(io, place, image, flags))
}

async function read(io: CliIo, place: PartitionPlace, path: string, flags: Flags): Promise<void> {
  const { portal: portals, offset, length } = flags
  const host = await readHost(io, flags)
  const progress = new Progress(io, flags.quiet === true)
  const say = (text: string) => progress.say(text)
  try {
    await withPartition({ place, portals, host, flags, say }, async (device, targetName) => {
      const source = new DeviceImage(device, offset, length)
      const lengthBytes = source.sizeBytes
      const { image: sink, close } = await open(io, path, lengthBytes, flags.force === true)
      try {
        const title = device.name
        const result = await transfer(io, progress, { title, source, sink, lengthBytes, flags })
        progress.end()
        // The answer must not end up in the image.
        const tell = path === '-' ? io.err : io.out
        const from = { targetName, partition: device.name, offset }
        if (flags.json === true) tell(`${JSON.stringify({ from, image: path, ...result })}\n`)
        else if (flags.quiet !== true) tell(`${device.name} is read: ${describeResult(result)}\n`)
      } finally {
        await close()
      }
    })
  } finally {
    progress.end()
  }
}

async function open(io: CliIo, path: string, sizeBytes: number, force: boolean) {
  if (path === '-') return { image: new StreamSink(io.outBytes), close: async () => {} }
  return createImage(path, sizeBytes, force).catch((error: unknown) => {
    if (!(error instanceof ImageExistsError)) throw error
    const message = `${path} exists: --force overwrites it, or name another file`
    throw new CliFailure(ExitCode.Failed, 'exists', message)
  })
}
