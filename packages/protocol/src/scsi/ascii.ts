/** ASCII data fields (SPC-4 section 4.4.1). */

/** Writes a left-aligned ASCII field padded with spaces. */
export function writeAscii(data: Buffer, position: number, length: number, text: string): void {
  if (!/^[\x20-\x7e]*$/.test(text) || text.length > length) {
    throw new RangeError(
      `got ${JSON.stringify(text)}, want at most ${length} printable ASCII characters`,
    )
  }
  data.write(text.padEnd(length), position, 'latin1')
}

/** An ASCII field without the spaces or zeros that pad it at its end. */
export function readAscii(data: Buffer, position: number, length: number): string {
  return data.toString('latin1', position, position + length).replace(/[ \0]+$/, '')
}
