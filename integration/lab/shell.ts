/** `npm run guest`: the Linux guest of the tests by hand, with a server that has a partition. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { qemuParameters } from '../lib/guest/guest.ts'
import { startTarget } from '../lib/guest/lab.ts'

const { target, place } = await startTarget()
await target.createPartition({
  directory: temporaryDirectory(),
  disks: 4,
  diskSize: '256M',
  chunk: '64K',
  array: 'fast',
  partition: 'data',
  size: '512M',
})
const parameters = await qemuParameters(place.interfaces, 'mon:stdio', 'guest_shell=1')
console.log(`platterd listens at ${target.portal}; in the guest, for example:
  iscsiadm -m discovery -t sendtargets -p ${target.portal} && iscsiadm -m node --login && lsscsi
Its state, for platterd --state: ${target.stateDirectory}
exit, or Ctrl-A X, ends both.`)
const machine = spawn(...place.network.inside('qemu-system-x86_64', parameters), {
  stdio: 'inherit',
})
await once(machine, 'close')
cleanUp()
