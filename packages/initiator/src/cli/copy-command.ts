/** `platter copy`: a partition over another, of the same target or not. */
import { Command } from 'commander'
import type { BlockDevice } from '../block/block-device.ts'
import { DeviceImage } from '../copy/device-image.ts'
import { type EndFlags, readHosts, withEnds } from './copy-ends.ts'
import { type CliIo, misuse } from './io.ts'
import { PARTITION, type PartitionPlace, partitionArgument, withPartition } from './partition.ts'
import { type ConnectionFlags, withConnections } from './path-flags.ts'
import { type PortalFlags, withHost } from './portal.ts'
import { Progress } from './progress.ts'
import { roomFor } from './room.ts'
import { describeResult, type TransferFlags, transfer, withTransfer } from './transfer.ts'

type Flags = EndFlags & PortalFlags & ConnectionFlags & TransferFlags

const lesson = `
What the second partition held where the first comes is overwritten, and gone; nothing asks before. What
lies behind it stays as it is. A partition that does not fit is refused before anything is written.

Flags without --from- or --to- are for both ends. What moves goes through this machine.
`

export function copyCommand(io: CliIo): Command {
  const command = new Command('copy')
    .description('copy a partition over another one, of the same target or of another')
    .argument('<from>', PARTITION, partitionArgument)
    .argument('<to>', 'the same', partitionArgument)
    .option('--verify', 'read it back, and compare')
    .addHelpText('after', lesson)
  const transferring = withTransfer(command, 'write zeros too (default: leave holes, if it can)')
  return withConnections(withEnds(withHost(transferring))).action(
    (from: PartitionPlace, to: PartitionPlace, flags: Flags) => copy(io, from, to, flags),
  )
}

/** A device, and where it is. */
interface Found {
  readonly device: BlockDevice
  readonly targetName: string
}

async function copy(
  io: CliIo,
  from: PartitionPlace,
  to: PartitionPlace,
  flags: Flags,
): Promise<void> {
  const hosts = await readHosts(io, flags)
  const progress = new Progress(io, flags.quiet === true)
  const common = { flags, say: (text: string) => progress.say(text) }
  const first = { place: from, portals: flags.fromPortal, host: hosts.from, ...common }
  const second = { place: to, portals: flags.toPortal, host: hosts.to, ...common }
  try {
    await withPartition(first, (device, targetName) =>
      withPartition(second, (other, otherTarget) =>
        copyBetween(io, progress, flags, [
          { device, targetName },
          { device: other, targetName: otherTarget },
        ]),
      ),
    )
  } finally {
    progress.end()
  }
}

async function copyBetween(
  io: CliIo,
  progress: Progress,
  flags: Flags,
  [from, to]: readonly [Found, Found],
): Promise<void> {
  const name = from.device.name
  if (from.targetName === to.targetName && name === to.device.name) {
    throw misuse(`${name} of ${from.targetName} cannot be copied over itself`)
  }
  const source = new DeviceImage(from.device, flags.fromOffset, flags.length)
  const lengthBytes = source.sizeBytes
  const sink = roomFor(to.device, flags.toOffset, lengthBytes, name)
  const written = flags.verify === true ? sink : undefined
  const what = { title: name, source, sink, lengthBytes, flags, written }
  const result = await transfer(io, progress, what)
  progress.end()
  const describe = ({ device, targetName }: Found, offset: number) => ({
    targetName,
    partition: device.name,
    offset,
  })
  if (flags.json === true) {
    const places = { from: describe(from, flags.fromOffset), to: describe(to, flags.toOffset) }
    io.out(`${JSON.stringify({ ...places, ...result })}\n`)
  } else if (flags.quiet !== true) {
    io.out(`${name} is copied to ${to.device.name}: ${describeResult(result)}\n`)
  }
}
