/** Types for the part of buffer-layout 1.2.2 that we use; the package ships none. */
declare module 'buffer-layout' {
  /** One field of a layout: a value of type T under the name N. */
  export interface Layout<T = unknown, N extends string | undefined = string | undefined> {
    readonly span: number
    readonly property: N
    decode(buffer: Buffer, offset?: number): T
    encode(value: T, buffer: Buffer, offset?: number): number
  }

  type Named<F> =
    F extends Layout<infer T, infer N> ? (N extends string ? { [K in N]: T } : never) : never
  type Intersection<U> = (U extends unknown ? (u: U) => void : never) extends (i: infer I) => void
    ? I
    : never
  /** The object that a structure of these fields decodes to. */
  export type Decoded<F extends readonly Layout[]> = {
    [K in keyof Intersection<Named<F[number]>>]: Intersection<Named<F[number]>>[K]
  }

  export interface Structure<F extends readonly Layout[]> extends Layout<Decoded<F>> {
    readonly fields: F
    offsetOf(property: string): number | undefined
  }

  export function struct<const F extends readonly Layout[]>(fields: F): Structure<F>
  export function u8(): Layout<number, undefined>
  export function u8<const N extends string>(property: N): Layout<number, N>
  export function u16(): Layout<number, undefined>
  export function u16<const N extends string>(property: N): Layout<number, N>
  export function u32(): Layout<number, undefined>
  export function u32<const N extends string>(property: N): Layout<number, N>
  export function s32<const N extends string>(property: N): Layout<number, N>
  /** 64 bits; exact below 2^53. */
  export function nu64<const N extends string>(property: N): Layout<number, N>
  export function u16be(): Layout<number, undefined>
  export function u16be<const N extends string>(property: N): Layout<number, N>
  export function u24be(): Layout<number, undefined>
  export function u24be<const N extends string>(property: N): Layout<number, N>
  export function u32be(): Layout<number, undefined>
  export function u32be<const N extends string>(property: N): Layout<number, N>
  export function blob(length: number): Layout<Buffer, undefined>
  export function blob<const N extends string>(length: number, property: N): Layout<Buffer, N>
}
