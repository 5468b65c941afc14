import t from 'tap'
import { DiskSet } from '../src/disk-set.ts'
import { MemoryVolume } from '../src/volume/memory-volume.ts'

class UnclosableVolume extends MemoryVolume {
  override close(): Promise<void> {
    return new Promise(() => {})
  }
}

t.test(
  'a disk that does not end what it was asked is not waited for when it is closed',
  async (t) => {
    const disks = new DiskSet(async (path) => {
      if (path === '/missing') throw new Error('ENOENT')
      const Kind = path === '/stuck' ? UnclosableVolume : MemoryVolume
      return new Kind(path, 4096)
    }, 10)
    await disks.openAll(['/stuck', '/stuck2', '/well', '/missing'])
    const well = disks.openVolume('/well')
    await disks.close('/stuck')
    t.throws(() => disks.get('/stuck'), { code: 'not-found' })
    await disks.closeAll()
    t.same(disks.all(), [])
    t.notOk(well.readNow(0, Buffer.alloc(512), 0, 512), 'the others have been closed')
  },
)

t.test(
  'nothing new begins with a disk that is marked, and what goes on with it goes on',
  async (t) => {
    const disks = new DiskSet(async (path) => new MemoryVolume(path, 4096))
    await disks.openAll(['/a'])
    const volume = disks.openVolume('/a')
    t.ok(disks.mark('/a', volume, 'its file is gone'))
    t.equal(disks.openVolume('/a'), volume)
    const refusal = { code: 'unavailable', message: '/a: its file is gone' }
    t.throws(() => disks.usableVolume('/a'), refusal)
    t.notOk(disks.mark('/a', new MemoryVolume('/a', 4096), null), 'that is another one')
    t.notOk(disks.mark('/b', volume, null))
    t.throws(() => disks.usableVolume('/a'), refusal)
    t.ok(disks.mark('/a', volume, null))
    t.equal(disks.usableVolume('/a'), volume)
  },
)
