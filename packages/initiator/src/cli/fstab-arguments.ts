/**
 * The command line by which mount(8) has a file system mounted, through mount.fuse(8): `platter SERVERS
 * DIRECTORY -o OPTIONS`. It is that of a mount in the background; options are our flags without dashes.
 */

/** Options that mount(8) hands on, and that say nothing to a mount of partitions. */
const meaningless =
  /^(rw|defaults|(no)?(auto|atime|diratime|relatime|strictatime|exec|dev|suid|fail|user|users|owner|group)|_netdev|x-.*|comment=.*)$/

/** What such a command line means, as one of ours; undefined if it is none. */
export function fstabArguments(args: readonly string[]): readonly string[] | undefined {
  const [source, directory, flag, list] = args
  if (args.length < 3 || source === undefined || directory === undefined) return undefined
  if (flag !== '-o' || source.startsWith('-')) return undefined
  const options = (list ?? '').split(',').filter((option) => option !== '')
  const flags = options.filter((option) => !meaningless.test(option)).map(flagOf)
  return ['mount', '--daemon', ...flags, ...source.split(/\s+/), directory]
}

/** Values are attached: they may begin with a dash. */
function flagOf(option: string): string {
  if (option === 'ro') return '--read-only'
  if (option === 'allow_other') return '--allow-other'
  return `--${option}`
}
