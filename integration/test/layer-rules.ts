/** What each folder must be refused to import, and what it may. Sub-folders stand under the same rules. */
export interface LayerRule {
  readonly folder: string
  readonly refuses: readonly string[]
  readonly allows: readonly string[]
}

const inputOutput = ['node:net', 'node:fs', 'node:fs/promises', 'node:timers', 'node:http']
const pure = ['node:buffer', 'node:crypto', 'node:assert']

export const layerRules: readonly LayerRule[] = [
  {
    folder: 'packages/protocol/src/iscsi',
    refuses: [...inputOutput, '../scsi/cdb.ts', '../scsi/index.ts'],
    allows: [...pure, 'buffer-layout', './framer.ts', './pdu/login.ts'],
  },
  {
    folder: 'packages/protocol/src/iscsi/pdu',
    refuses: [...inputOutput, '../../scsi/cdb.ts'],
    allows: [...pure, '../bhs.ts'],
  },
  {
    folder: 'packages/protocol/src/scsi',
    refuses: [...inputOutput, '../iscsi/framer.ts', '../iscsi/index.ts'],
    allows: [...pure, 'buffer-layout', './sense.ts'],
  },
  {
    folder: 'packages/transport/src',
    refuses: [
      '@platter/protocol/iscsi',
      '@platter/target',
      'node:fs',
      'node:fs/promises',
      'node:http',
    ],
    allows: ['node:net', 'koffi', './busy-poll.ts'],
  },
  {
    folder: 'packages/target/src/volume',
    refuses: [
      '@platter/protocol/scsi',
      '@platter/protocol/iscsi',
      '@platter/initiator',
      '../scsi/scsi-task.ts',
      '../session/session.ts',
      '../net/accept.ts',
      '../admin/server.ts',
      '../target.ts',
      'node:net',
      'node:http',
    ],
    allows: ['node:fs', 'node:crypto', 'koffi', './stripe.ts'],
  },
  {
    folder: 'packages/target/src/scsi',
    refuses: [
      ...inputOutput,
      '@platter/protocol/iscsi',
      '../session/session.ts',
      '../net/accept.ts',
      '../admin/server.ts',
      '../target.ts',
      '../volume/disk-file.ts',
      '../volume/striped-volume.ts',
    ],
    allows: [...pure, '@platter/protocol/scsi', '../volume/volume.ts', './commands/read.ts'],
  },
  {
    folder: 'packages/target/src/scsi/commands',
    refuses: [
      ...inputOutput,
      '@platter/protocol/iscsi',
      '../../session/session.ts',
      '../../net/accept.ts',
      '../../admin/server.ts',
      '../../target.ts',
      '../../volume/disk-file.ts',
    ],
    allows: [...pure, '@platter/protocol/scsi', '../../volume/volume.ts', '../scsi-task.ts'],
  },
  {
    folder: 'packages/target/src/session',
    refuses: [
      ...inputOutput,
      '@platter/protocol/scsi',
      '../net/accept.ts',
      '../admin/server.ts',
      '../volume/volume.ts',
      '../target.ts',
      '../scsi/device-server.ts',
    ],
    allows: [...pure, '@platter/protocol/iscsi', '../scsi/scsi-task.ts', './connection-sink.ts'],
  },
  {
    folder: 'packages/target/src/net',
    refuses: [
      '@platter/protocol/scsi',
      '../scsi/scsi-task.ts',
      '../volume/volume.ts',
      '../admin/server.ts',
      '../target.ts',
    ],
    allows: [
      'node:net',
      '@platter/protocol/iscsi',
      '@platter/transport/busy-poll',
      '../session/connection-sink.ts',
    ],
  },
  {
    folder: 'packages/target/src/admin',
    refuses: [
      '@platter/protocol/iscsi',
      '@platter/protocol/scsi',
      '../scsi/scsi-task.ts',
      '../session/session.ts',
      '../net/accept.ts',
      '../volume/volume.ts',
    ],
    allows: ['node:http', 'fastify', 'typebox', './target-facade.ts'],
  },
  {
    folder: 'packages/initiator/src/session',
    refuses: [
      ...inputOutput,
      '@platter/protocol/scsi',
      '../net/socket-connection.ts',
      '../block/block-device.ts',
      '../fuse/mount.ts',
      '../host.ts',
    ],
    allows: [...pure, '@platter/protocol/iscsi', './login.ts'],
  },
  {
    folder: 'packages/initiator/src/net',
    refuses: [
      '@platter/protocol/scsi',
      '../block/block-device.ts',
      '../fuse/mount.ts',
      '../host.ts',
    ],
    allows: [
      'node:net',
      '@platter/protocol/iscsi',
      '@platter/transport/busy-poll',
      '../session/login.ts',
    ],
  },
  {
    folder: 'packages/initiator/src/block',
    refuses: [
      '@platter/protocol/iscsi',
      '../net/socket-connection.ts',
      '../session/session.ts',
      '../fuse/mount.ts',
      '../host.ts',
    ],
    allows: [
      '@platter/protocol/scsi',
      '../session/task.ts',
      '../session/scsi-transport.ts',
      './block-device.ts',
    ],
  },
  {
    folder: 'packages/initiator/src/bench',
    refuses: ['@platter/protocol/scsi', '../block/scsi-disk.ts', '../cli/io.ts', '../host.ts'],
    allows: ['node:crypto', '../block/block-device.ts'],
  },
  {
    folder: 'packages/initiator/src/copy',
    refuses: [
      '@platter/protocol/scsi',
      '../session/session.ts',
      '../net/socket-connection.ts',
      '../block/scsi-disk.ts',
      '../fuse/mount.ts',
      '../cli/io.ts',
      '../host.ts',
    ],
    allows: [
      'node:fs/promises',
      '../block/block-device.ts',
      '../block/block-error.ts',
      '../block/block-promises.ts',
    ],
  },
  {
    folder: 'packages/initiator/src/fuse',
    refuses: [
      '@platter/protocol/scsi',
      '@platter/protocol/iscsi',
      '@platter/target',
      '../session/session.ts',
      '../net/socket-connection.ts',
      '../block/scsi-disk.ts',
      '../host.ts',
    ],
    allows: ['fuse-native', '../block/block-device.ts', './native/driver.ts'],
  },
  {
    folder: 'packages/initiator/src/fuse/native',
    refuses: [
      '@platter/protocol/scsi',
      '../../session/session.ts',
      '../../net/socket-connection.ts',
      '../../block/scsi-disk.ts',
    ],
    allows: ['fuse-native', '../../block/block-device.ts', '../mountpoint.ts'],
  },
]
