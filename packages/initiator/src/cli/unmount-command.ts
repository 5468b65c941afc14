/** `platter unmount` */
import path from 'node:path'
import { Command } from 'commander'
import { unmount } from '../fuse/mountpoint.ts'
import type { CliIo } from './io.ts'
import { requireMount } from './mount-status.ts'

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
      await requireMount(directory)
      await unmount(directory, { lazy: flags.lazy ?? false })
      io.out(
        flags.json === true ? `${JSON.stringify({ directory })}\n` : `${directory} unmounted\n`,
      )
    })
}
