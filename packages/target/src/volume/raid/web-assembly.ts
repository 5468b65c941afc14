/** WebAssembly, as much of it as is used here: neither the language's nor Node's declarations have it. */

/** A compiled module. Opaque. */
export type WasmModule = object

interface WebAssemblyNamespace {
  readonly Memory: new (limits: {
    initial: number
    maximum: number
  }) => { readonly buffer: ArrayBuffer }
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => WasmModule
  readonly Instance: new (
    module: WasmModule,
    imports: Record<string, Record<string, object>>,
  ) => { readonly exports: unknown }
}

declare const WebAssembly: WebAssemblyNamespace | undefined

/** Null where there is none at all, as under `node --jitless`. */
export const webAssembly: WebAssemblyNamespace | null =
  typeof WebAssembly === 'undefined' ? null : WebAssembly

export const WASM_PAGE_BYTES = 64 * 1024
