/** A NexusTransport that has nothing to abort, but for what a test has it do. */
import type { NexusTransport } from '../../src/scsi/scsi-task.ts'

export function nexusTransport(own: Partial<NexusTransport> = {}): NexusTransport {
  return {
    answersQueries: false,
    targetDevice: 'iqn.2024-01.org.example:target',
    targetPort: 'iqn.2024-01.org.example:target,t,0x0001',
    versionDescriptor: 0x0961,
    abortTasks: (_, done) => done(),
    failTasks: (_, done) => done(),
    reportEvent: () => {},
    ...own,
  }
}
