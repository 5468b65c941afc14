/** Public names of the iSCSI codecs: `@platter/protocol/iscsi`. */
export * from './keys.ts'
export * from './name.ts'
export * from './serial-number.ts'
export * from './text-value.ts'
