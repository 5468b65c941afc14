/** `platter write`: an image to a partition. */
import { Command } from 'commander'
import { openImage } from '../copy/file-image.ts'
import type { ImageSource } from '../copy/image.ts'
import { StreamSource } from '../copy/stream-image.ts'
import { readHost } from './authentication.ts'
import { type CliIo, misuse } from './io.ts'
import { PARTITION, type PartitionPlace, partitionArgument, withPartition } from './partition.ts'
import { type PathFlags, withPaths } from './path-flags.ts'
import { type PortalFlags, withHost } from './portal.ts'
import { Progress } from './progress.ts'
import { roomFor } from './room.ts'
import { offsetArgument } from './size.ts'
import { describeResult, type TransferFlags, transfer, withTransfer } from './transfer.ts'

interface Flags extends PortalFlags, PathFlags, TransferFlags {
  readonly json?: boolean
  readonly offset: number
}

const lesson = `
What the partition held where the image comes is overwritten, and gone; nothing asks before. What lies
behind a shorter image stays as it is. An image that is too long is refused before anything is written.
`

export function writeCommand(io: CliIo): Command {
  const command = new Command('write')
    .description('copy an image file, or standard input, over a partition')
    .argument('<image>', 'a file, a block device, or - for standard input')
    .argument('<partition>', PARTITION, partitionArgument)
    .option('--offset <size>', 'where in the partition to begin', offsetArgument, 0)
    .option('--verify', 'read it back, and compare')
    .addHelpText('after', lesson)
  return withPaths(
    withHost(withTransfer(command, 'write zeros too (default: leave holes, if it can)')),
  ).action((image: string, place: PartitionPlace, flags: Flags) => write(io, image, place, flags))
}

async function write(io: CliIo, path: string, place: PartitionPlace, flags: Flags): Promise<void> {
  const { portal: portals, offset } = flags
  if (path === '-' && [flags.secretFile, flags.targetSecretFile].includes('-')) {
    throw misuse('standard input cannot have both the image and a secret')
  }
  const host = await readHost(io, flags)
  const progress = new Progress(io, flags.quiet === true)
  const say = (text: string) => progress.say(text)
  const { image: source, close } = await open(io, path)
  try {
    if (flags.verify === true && source.sizeBytes === null) {
      throw misuse(`--verify reads the image again, and ${path} can be read but once`)
    }
    await withPartition({ place, portals, host, flags, say }, async (device, targetName) => {
      const lengthBytes = lengthOf(source, path, flags.length)
      const sink = roomFor(device, offset, lengthBytes, path)
      const written = flags.verify === true ? sink : undefined
      const what = { title: device.name, source, sink, lengthBytes, flags, written }
      const result = await transfer(io, progress, what)
      progress.end()
      const to = { targetName, partition: device.name, offset }
      if (flags.json === true) io.out(`${JSON.stringify({ image: path, to, ...result })}\n`)
      else if (flags.quiet !== true) {
        io.out(`${device.name} is written: ${describeResult(result)}\n`)
      }
    })
  } finally {
    progress.end()
    await close()
  }
}

async function open(io: CliIo, path: string) {
  if (path !== '-') return openImage(path)
  return { image: new StreamSource(io.inputStream()), close: async () => {} }
}

/** How much is to be written; null when it shows at the end of the image. */
function lengthOf({ sizeBytes }: ImageSource, path: string, wanted?: number): number | null {
  if (wanted === undefined || sizeBytes === null || wanted <= sizeBytes) return wanted ?? sizeBytes
  throw misuse(`--length: ${path} has ${sizeBytes} bytes, not ${wanted}`)
}
