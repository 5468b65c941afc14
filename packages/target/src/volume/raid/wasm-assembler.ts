/**
 * Writes WebAssembly modules: an instruction is a function that gives its bytes and takes those of its
 * operands, so that code nests like the folded form of the text format. It knows what `wasm-module.ts`
 * needs and no more: one imported memory, functions of i32 parameters without results.
 *
 * Opcodes and layout are those of the WebAssembly Core Specification 2.0, chapter 5, "Binary Format".
 */

/** Bytes of instructions. */
export type Code = readonly number[]

const Opcode = {
  Loop: 0x03,
  End: 0x0b,
  BranchIf: 0x0d,
  LocalGet: 0x20,
  LocalSet: 0x21,
  I32Load: 0x28,
  I32Const: 0x41,
  I32LessUnsigned: 0x49,
  I32Add: 0x6a,
  I32Subtract: 0x6b,
  I32Multiply: 0x6c,
  Vector: 0xfd,
} as const

/** What follows the prefix `Opcode.Vector`. */
const VectorOpcode = {
  Load: 0x00,
  Store: 0x0b,
  I8x16Swizzle: 0x0e,
  I8x16Splat: 0x0f,
  I8x16LessSigned: 0x25,
  And: 0x4e,
  Xor: 0x51,
  I8x16Add: 0x6e,
  I32x4ShiftRightUnsigned: 0xad,
} as const

const ValueType = { I32: 0x7f, V128: 0x7b } as const
const BlockTypeEmpty = 0x40

export const localGet = (local: number): Code => [Opcode.LocalGet, ...unsigned(local)]
export const localSet = (local: number, value: Code): Code => [
  ...value,
  Opcode.LocalSet,
  ...unsigned(local),
]

/** Runs the body once, and again each time a `branchIf` of it says so. */
export const loop = (...body: Code[]): Code => [
  Opcode.Loop,
  BlockTypeEmpty,
  ...body.flat(),
  Opcode.End,
]
/** To the start of a loop: `depth` counts the loops between here and the one that is meant. */
export const branchIf = (depth: number, condition: Code): Code => [
  ...condition,
  Opcode.BranchIf,
  ...unsigned(depth),
]

export const i32Const = (value: number): Code => [Opcode.I32Const, ...signed(value)]
export const i32LessUnsigned = (a: Code, b: Code): Code => [...a, ...b, Opcode.I32LessUnsigned]
export const i32Add = (a: Code, b: Code): Code => [...a, ...b, Opcode.I32Add]
export const i32Subtract = (a: Code, b: Code): Code => [...a, ...b, Opcode.I32Subtract]
export const i32Multiply = (a: Code, b: Code): Code => [...a, ...b, Opcode.I32Multiply]

/** The i32 at `address`. */
export const i32Load = (address: Code): Code => [...address, Opcode.I32Load, ...memoryArgument(0)]

/** 16 bytes at `address + offset`, which need not be aligned. */
export const v128Load = (address: Code, offset = 0): Code => [
  ...address,
  ...vector(VectorOpcode.Load),
  ...memoryArgument(offset),
]
export const v128Store = (address: Code, value: Code, offset = 0): Code => [
  ...address,
  ...value,
  ...vector(VectorOpcode.Store),
  ...memoryArgument(offset),
]
export const v128And = (a: Code, b: Code): Code => [...a, ...b, ...vector(VectorOpcode.And)]
export const v128Xor = (a: Code, b: Code): Code => [...a, ...b, ...vector(VectorOpcode.Xor)]
/** The i32 `value` in each of 16 bytes. */
export const i8x16Splat = (value: Code): Code => [...value, ...vector(VectorOpcode.I8x16Splat)]
export const i8x16Add = (a: Code, b: Code): Code => [...a, ...b, ...vector(VectorOpcode.I8x16Add)]
/** 0xff in each byte of `a` that is less than that of `b`, both signed, 0 in the others. */
export const i8x16LessSigned = (a: Code, b: Code): Code => [
  ...a,
  ...b,
  ...vector(VectorOpcode.I8x16LessSigned),
]
/** Each byte of `indices` replaced with the byte of `table` that it names. */
export const i8x16Swizzle = (table: Code, indices: Code): Code => [
  ...table,
  ...indices,
  ...vector(VectorOpcode.I8x16Swizzle),
]
export const i32x4ShiftRightUnsigned = (value: Code, bits: Code): Code => [
  ...value,
  ...bits,
  ...vector(VectorOpcode.I32x4ShiftRightUnsigned),
]

/** One exported function. Its locals are numbered: parameters, then i32, then v128. */
export interface WasmFunction {
  readonly name: string
  readonly parameterCount: number
  readonly i32Count: number
  readonly v128Count: number
  readonly body: readonly Code[]
}

/** The bytes of a module that imports its memory as `memoryModule.memoryName` and exports `functions`. */
export function assemble(
  memoryModule: string,
  memoryName: string,
  functions: readonly WasmFunction[],
): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parameterCount }) => [
    0x60, // a function type
    ...list(Array.from({ length: parameterCount }, () => [ValueType.I32])),
    ...list([]), // no results
  ])
  const memory = [
    ...name(memoryModule),
    ...name(memoryName),
    0x02, // a memory
    0x00, // with limits of the kind that has no maximum
    ...unsigned(1), // page at least
  ]
  const exports = functions.map((one, index) => [
    ...name(one.name),
    0x00, // a function
    ...unsigned(index),
  ])
  const bodies = functions.map(({ i32Count, v128Count, body }) => {
    const locals = list([
      [...unsigned(i32Count), ValueType.I32],
      [...unsigned(v128Count), ValueType.V128],
    ])
    const code = [...locals, ...body.flat(), Opcode.End]
    return [...unsigned(code.length), ...code]
  })
  return Uint8Array.of(
    ...[0x00, 0x61, 0x73, 0x6d], // "\0asm"
    ...[0x01, 0x00, 0x00, 0x00], // version
    ...section(1, types),
    ...section(2, [memory]),
    // Each function has the type of its own index.
    ...section(3, Array.from(functions.keys(), unsigned)),
    ...section(7, exports),
    ...section(10, bodies),
  )
}

function section(id: number, entries: readonly Code[]): Code {
  const content = list(entries)
  return [id, ...unsigned(content.length), ...content]
}

function list(entries: readonly Code[]): Code {
  return [...unsigned(entries.length), ...entries.flat()]
}

function name(text: string): Code {
  const bytes = Buffer.from(text)
  return [...unsigned(bytes.length), ...bytes]
}

function vector(opcode: number): Code {
  return [Opcode.Vector, ...unsigned(opcode)]
}

/** Alignment 2^0, for addresses are anything, and the offset that is added to them. */
function memoryArgument(offset: number): Code {
  return [0, ...unsigned(offset)]
}

/** LEB128, of a number of at most 31 bits. */
function unsigned(value: number): Code {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)]
}

/** LEB128 with a sign, which is bit 6 of the last byte. */
function signed(value: number): Code {
  const last = value >= -0x40 && value < 0x40
  return last ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)]
}
