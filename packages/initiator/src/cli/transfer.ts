/** What `platter read`, `write` and `copy` have in common: their flags, and the copy from its start to its result. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { Comparison } from '../copy/comparison.ts'
import { Copy } from '../copy/copy.ts'
import type { ImageSink, ImageSource } from '../copy/image.ts'
import { failureOf } from './failure.ts'
import { CliFailure, type CliIo, ExitCode } from './io.ts'
import { describeTransfer, type Progress, Speed } from './progress.ts'
import { formatSize, sizeArgument } from './size.ts'

export interface TransferFlags {
  readonly depth: number
  readonly blockSize: number
  readonly sparse: boolean
  readonly quiet?: boolean
  readonly json?: boolean
  readonly length?: number
  readonly verify?: boolean
}

export interface Transferred {
  readonly bytes: number
  readonly zeroBytes: number
  readonly seconds: number
  /** Read back, and found the same. */
  readonly verified: boolean
}

const DEPTH = 16
const DEPTH_MAX = 256
const BLOCK_BYTES = 1024 * 1024
const BLOCK_BYTES_MAX = 64 * 1024 * 1024

/** Gives a command the flags of TransferFlags but `json` and `verify`. */
export function withTransfer(command: Command, sparse: string): Command {
  return command
    .option('--length <size>', 'how much, such as 512M (default: all)', sizeArgument)
    .option('--depth <number>', 'how many pieces are under way at once', depthArgument, DEPTH)
    .addOption(
      new Option('--block-size <size>', 'how long a piece is')
        .argParser(blockSizeArgument)
        .default(BLOCK_BYTES, '1M'),
    )
    .option('--no-sparse', sparse)
    .option('--quiet', 'say nothing of how far it has come')
}

/** How many, for commander. */
export function depthArgument(text: string): number {
  const depth = Number(text)
  if (/^\d+$/.test(text) && depth >= 1 && depth <= DEPTH_MAX) return depth
  throw new InvalidArgumentError(`got ${text}, wanted a number from 1 to ${DEPTH_MAX}`)
}

/** For commander: whole blocks of any device. */
export function blockSizeArgument(text: string): number {
  const bytes = sizeArgument(text)
  if (bytes % 4096 === 0 && bytes <= BLOCK_BYTES_MAX) return bytes
  throw new InvalidArgumentError(`got ${text}, wanted a multiple of 4K up to 64M`)
}

export interface TransferOptions {
  readonly title: string
  readonly source: ImageSource
  readonly sink: ImageSink
  readonly lengthBytes: number | null
  readonly flags: TransferFlags
  /** What was written, to be read back; undefined: it is not. */
  readonly written?: ImageSource | undefined
}

/** Copies, reads back if that is asked for, and resolves when all is durable. Rejects with a CliFailure. */
export async function transfer(
  io: CliIo,
  progress: Progress,
  { title, source, sink, lengthBytes, flags, written }: TransferOptions,
): Promise<Transferred> {
  const startedMs = performance.now()
  const stop = new AbortController()
  const stopListening = listen(io, progress, stop)
  const sizes = { depth: flags.depth, blockBytes: flags.blockSize, signal: stop.signal }
  try {
    const sparse = flags.sparse && !sink.sequential
    const copy = new Copy({ source, sink, lengthBytes, sparse, ...sizes })
    await run(copy, progress, title, 'copied')
    if (written !== undefined) {
      const comparison = new Comparison(written)
      const check = { source, sink: comparison, lengthBytes: copy.doneBytes, sparse: false }
      await run(new Copy({ ...check, ...sizes }), progress, `verify ${title}`, 'the same')
    }
    const seconds = (performance.now() - startedMs) / 1000
    const { doneBytes: bytes, zeroBytes } = copy
    return { bytes, zeroBytes, seconds, verified: written !== undefined }
  } finally {
    stopListening()
  }
}

async function run(copy: Copy, progress: Progress, title: string, state: string): Promise<void> {
  const speed = new Speed(performance.now())
  progress.show((columns) => {
    const { doneBytes, totalBytes } = copy
    const bytesPerSecond = speed.perSecond(performance.now(), doneBytes)
    return describeTransfer({ title, doneBytes, totalBytes, bytesPerSecond }, columns)
  })
  try {
    await copy.run()
  } catch (error) {
    const { exitCode, code, message } = failureOf(error as Error)
    const { contiguousBytes, totalBytes } = copy
    const amount = totalBytes === null ? contiguousBytes : `${contiguousBytes} of ${totalBytes}`
    const howFar = `${message}; the first ${amount} bytes are ${state}`
    throw new CliFailure(exitCode, code, howFar)
  }
}

/** The first signal lets what is under way end; a second one is the process's own affair. */
export function listen(io: CliIo, progress: Progress, stop: AbortController): () => void {
  const stopListening = io.onStopSignal((signal) => {
    stopListening()
    progress.say(`${signal}: stopping when what is under way has ended; once more ends it at once`)
    const exitCode = signal === 'SIGTERM' ? ExitCode.Terminated : ExitCode.Interrupted
    stop.abort(new CliFailure(exitCode, 'interrupted', `interrupted by ${signal}`))
  })
  return stopListening
}

/** `2.00 GiB (2147483648 bytes) in 4.2 s, 487 MiB/s`, and what else there is to say. */
export function describeResult({ bytes, zeroBytes, seconds, verified }: Transferred): string {
  const rate = `${formatSize(bytes / seconds)}/s`
  const zeros = zeroBytes === 0 ? '' : `, ${formatSize(zeroBytes)} of it zeros`
  const check = verified ? ', verified' : ''
  return `${formatSize(bytes)} (${bytes} bytes) in ${seconds.toFixed(1)} s, ${rate}${zeros}${check}`
}
