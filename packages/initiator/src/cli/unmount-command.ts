/** `platter unmount` */
import path from 'node:path'
import { Command } from 'commander'
import { mountedType, unmount } from '../fuse/mountpoint.ts'
import { CliFailure, type CliIo, ExitCode } from './io.ts'

interface Flags {
  readonly lazy?: boolean
  readonly json?: boolean
}

export function unmountCommand(io: CliIo): Command {
  return new Command('unmount')
    .description('unmount what `platter mount` has mounted; its process then ends by itself')
    .argument('<directory>', 'where it is mounted')
    .option('--lazy', 'also while it is in use: it goes when the last file is closed')
    .option('--json', 'answer in JSON')
    .action(async (argument: string, flags: Flags) => {
      const directory = path.resolve(argument)
      const type = await mountedType(directory)
      if (type !== 'fuse.platter') {
        const got = type === undefined ? 'nothing' : `a file system of type ${type}`
        const message = `${directory} has ${got} mounted on it, not partitions`
        throw new CliFailure(ExitCode.Failed, 'not-mounted', message)
      }
      await unmount(directory, { lazy: flags.lazy ?? false })
      io.out(
        flags.json === true ? `${JSON.stringify({ directory })}\n` : `${directory} unmounted\n`,
      )
    })
}
