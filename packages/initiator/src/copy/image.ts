/** What a copy comes from, and where it goes: a file, a partition, or a stream. Offsets count from its own beginning. */

export interface ImageSource {
  /** Null: its end is known when it has come. */
  readonly sizeBytes: number | null
  /**
   * Resolves with how many bytes came, fewer than fit into `into` only at the end. Calls are made in the order
   * of their offsets, without a gap for a source of unknown size, each before the others have ended.
   */
  read(offset: number, into: Buffer): Promise<number>
  /** The first byte from `offset` on that is not in a hole; not given where holes cannot be told. */
  dataFrom?(offset: number): number
}

export interface ImageSink {
  /** Takes its bytes from the first to the last, one call after the other. */
  readonly sequential: boolean
  /** All of `from`, which is the sink's until then. */
  write(offset: number, from: Buffer): Promise<void>
  /** These bytes are to be zeros. */
  zero(offset: number, length: number): Promise<void>
  /** Resolves when all that was written is durable. */
  flush(): Promise<void>
}
