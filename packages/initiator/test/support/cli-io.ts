/** What a command says, and what it is given, in place of the process's own streams. */
import type { CliIo } from '../../src/cli/io.ts'

export class RecordingIo implements CliIo {
  stdout = ''
  stderr = ''
  /** Undefined: standard error is no terminal. */
  terminalColumns: number | undefined
  readonly #input: Buffer
  #onStop: ((signal: string) => void) | null = null

  /** `input`: what is on standard input. */
  constructor(input: string | Buffer = '') {
    this.#input = Buffer.from(input)
  }

  readonly out = (text: string) => {
    this.stdout += text
  }

  readonly err = (text: string) => {
    this.stderr += text
  }

  readonly outBytes = async (bytes: Buffer) => {
    this.stdout += bytes.toString('latin1')
  }

  readonly input = async () => this.#input.toString()

  async *inputStream() {
    yield this.#input
  }

  readonly columns = () => this.terminalColumns

  readonly onStopSignal = (onStop: (signal: string) => void) => {
    this.#onStop = onStop
    return () => {
      this.#onStop = null
    }
  }

  /** As if the process got the signal; throws when nobody listens, which would end it. */
  stop(signal: string): void {
    if (this.#onStop === null) throw new Error(`${signal} ends the process`)
    this.#onStop(signal)
  }
}
