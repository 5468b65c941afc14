/**
 * Linux against platterd: open-iscsi, a file system, what it makes of the disk. And against platter: LIO,
 * the target of the same kernel, so that one guest serves for both.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { askAdmin } from '../lib/admin-api.ts'
import { mutual, own, setSecret } from '../lib/authenticating-target.ts'
import { watchTraffic } from '../lib/capture/checked-traffic.ts'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { run, runOk } from '../lib/command.ts'
import { makeFileSystem, reuseFileSystem } from '../lib/file-system.ts'
import { FuseMount } from '../lib/fuse-mount.ts'
import { leavesClosedPort, worksAtDataPort } from '../lib/guest/data-port.ts'
import { startLab } from '../lib/guest/lab.ts'
import { Lio } from '../lib/guest/lio.ts'
import {
  authenticate,
  discover,
  diskOf,
  logIn,
  logOut,
  sessionReport,
} from '../lib/guest/open-iscsi.ts'
import { requires } from '../lib/requires.ts'
import { platterScript } from '../lib/target-process.ts'

t.teardown(cleanUp)

const needs = { ...requires('guest', 'root', 'tap'), timeout: 540_000 }
const MiB = 2 ** 20
const diskCount = 4
const partitionBytes = 320 * MiB
const lioPort = 3261

const digests = [
  { header: 'None', data: 'None' },
  { header: 'CRC32C', data: 'None' },
  { header: 'None', data: 'CRC32C' },
  { header: 'CRC32C', data: 'CRC32C' },
] as const

/** The algorithms of CHAP as open-iscsi names them, and as we do. */
const algorithms = { MD5: 'md5', SHA1: 'sha1', SHA256: 'sha256', 'SHA3-256': 'sha3-256' }
const guestName = 'iqn.2026-11.org.platter:guest'
const wrong = 'not the secret'

/** What the kernel and iscsid say when something between them and the target went wrong. */
const complaint = /error|fail|invalid|sense key|unexpected|timed out|reject|unsupported|reset by/i

t.test('Linux uses a partition as its disk', needs, async (t) => {
  // It fails to authenticate more often than a host does.
  const lab = await startLab(['--slow-logins-after', '1000', '--data-port-timeout', '60'])
  const { guest, target } = lab
  t.teardown(() => {
    if (!t.passing()) console.error(guest.console)
  })
  const directory = temporaryDirectory()
  const { lun } = await target.createPartition({
    directory,
    disks: diskCount,
    diskSize: '96M',
    chunk: '64K',
    array: 'fast',
    partition: 'data',
    size: '320M',
  })
  const targetName = await target.targetName()
  const findDisk = () => diskOf(guest, targetName, lun)

  await t.test('open-iscsi discovers the target, logs in and logs out', async (t) => {
    t.strictSame(await discover(guest, target.portal), [targetName])
    await logIn(guest, targetName)
    t.match(await sessionReport(guest), {
      'Current Portal': `${target.portal},1`,
      'iSCSI Connection State': 'LOGGED IN',
      'iSCSI Session State': 'LOGGED_IN',
      HeaderDigest: 'None',
      DataDigest: 'None',
      MaxRecvDataSegmentLength: '262144',
      MaxXmitDataSegmentLength: '262144',
      FirstBurstLength: '262144',
      MaxBurstLength: '1048576',
      ImmediateData: 'Yes',
      InitialR2T: 'No',
      MaxOutstandingR2T: '1',
    })
    await logOut(guest, targetName)
    t.equal((await guest.run('iscsiadm -m session')).status, 21, 'no session is left')
  })

  const here = { initiatorName: guestName, lun }
  let dataPort = ''
  await t.test('open-iscsi works at the data port that discovery opens for it', async (t) => {
    dataPort = await worksAtDataPort(t, lab, here)
  })

  await t.test('the kernel takes the disk for what it is', async (t) => {
    await logIn(guest, targetName)
    const disk = await findDisk()
    t.equal(await guest.runOk(`blockdev --getsize64 ${disk}`), `${partitionBytes}\n`)
    const name = disk.slice('/dev/'.length)
    const read = async (path: string) =>
      (await guest.runOk(`cat /sys/block/${name}/${path}`)).trim()
    t.equal(await read('queue/logical_block_size'), '512')
    t.equal(await read('queue/minimum_io_size'), '65536', 'a chunk')
    t.equal(await read('queue/rotational'), '0')
    t.equal(await read('queue/write_cache'), 'write back')
    t.equal(await read('queue/fua'), '1')
    t.equal(await read('queue/discard_granularity'), '4096')
    t.equal(await read('queue/discard_max_bytes'), `${256 * MiB}`)
    t.equal(await read('device/scsi_disk/*/provisioning_mode'), 'unmap')
    t.equal(await read('device/scsi_disk/*/zeroing_mode'), 'writesame_16_unmap')
    await logOut(guest, targetName)
  })

  for (const { header, data } of digests) {
    const title = `with HeaderDigest=${header} and DataDigest=${data} ext4 is made, filled and clean`
    await t.test(title, async (t) => {
      await logIn(guest, targetName, {
        'node.conn[0].iscsi.HeaderDigest': header,
        'node.conn[0].iscsi.DataDigest': data,
      })
      t.match(await sessionReport(guest), { HeaderDigest: header, DataDigest: data })
      const disk = await findDisk()
      await guest.runOk(`mkfs.ext4 -q ${disk} && mount ${disk} /mnt`)
      await guest.runOk('cp -a /usr/sbin /mnt/tree && umount /mnt')
      // The kernel forgets what it knows of the disk, and reads it again.
      await guest.runOk(`blockdev --flushbufs ${disk}`)
      await guest.runOk(`fsck.ext4 -f -n ${disk} && mount -o ro ${disk} /mnt`)
      await guest.runOk('diff -r --no-dereference /usr/sbin /mnt/tree')
      await guest.runOk('umount /mnt')
      await logOut(guest, targetName)
    })
  }

  await t.test(
    'fio finds every block as it wrote it, and a block that it did not write',
    async (t) => {
      // Both digests are on since the last login.
      await logIn(guest, targetName)
      t.match(await sessionReport(guest), { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' })
      const disk = await findDisk()
      const job = [
        ...['fio', '--name=verify', `--filename=${disk}`, '--direct=1', '--ioengine=libaio'],
        ...['--rw=randwrite', '--bssplit=4k/60:64k/20:512k/10:1m/10', '--blockalign=4k'],
        ...['--iodepth=32', '--size=96m', '--io_size=64m', '--fsync=64'],
        ...['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--randseed=7'],
      ].join(' ')
      const said = await guest.runOk(job, 200_000)
      t.match(said, /write: IOPS=.*[\s\S]*READ: .*io=\d/, 'it has written, and read again')
      await guest.runOk(`dd if=/dev/urandom of=${disk} bs=1M count=4 oflag=direct conv=fsync`)
      const told = await guest.run(`${job} --verify_only`, 200_000)
      t.not(told.status, 0)
      t.match(told.stdout + told.stderr, /verify: bad/)
      await logOut(guest, targetName)
    },
  )

  await t.test('fstrim gives the space of deleted files back to the server', async (t) => {
    const allocated = () => {
      const files = Array.from({ length: diskCount }, (_, i) => join(directory, `disk-${i}`))
      return files.reduce((sum, file) => sum + statSync(file).blocks * 512, 0)
    }
    await logIn(guest, targetName)
    const disk = await findDisk()
    await guest.runOk(`mkfs.ext4 -q ${disk} && mount ${disk} /mnt`)
    await guest.runOk('sync && fstrim /mnt')
    const before = allocated()
    await guest.runOk('dd if=/dev/urandom of=/mnt/file bs=1M count=128 && sync')
    const full = allocated()
    t.ok(full - before >= 120 * MiB, `128 MiB of data take ${full - before} bytes`)
    await guest.runOk('rm /mnt/file && sync && fstrim /mnt')
    const after = allocated()
    t.ok(after - before <= 8 * MiB, `${after - before} bytes more are left than before`)
    await guest.runOk(`umount /mnt && fsck.ext4 -f -n ${disk}`)
    await logOut(guest, targetName)
  })

  await t.test('neither the kernel nor iscsid has complained of the target', async (t) => {
    const log = await guest.runOk('dmesg')
    const lines = log.slice(log.indexOf('iSCSI Initiator over TCP')).split('\n')
    t.ok(lines.length > 10, 'there is a log')
    t.strictSame(
      lines.filter((line) => complaint.test(line)),
      [],
    )
  })

  await t.test('open-iscsi does not get in where its data port was, and finds another', (t) =>
    leavesClosedPort(t, lab, here, dataPort),
  )

  await t.test(
    'open-iscsi authenticates by CHAP with each algorithm, one way and mutual',
    async (t) => {
      const { user, secret } = mutual
      await setSecret(target, { host: guestName, user, secret, mutual: false })
      for (const shows of [false, true]) {
        if (shows) await setSecret(target, { host: guestName, ...own, mutual: true })
        for (const [algorithm, name] of Object.entries(algorithms)) {
          const right = { algorithm, host: { user, secret }, ...(shows && { target: own }) }
          await authenticate(guest, right)
          t.strictSame(await discover(guest, target.portal), [targetName])
          await logIn(guest, targetName)
          const { body } = await askAdmin(target.stateDirectory, 'GET', '/api/v1/sessions')
          const authentication = `CHAP ${name}${shows ? ', mutual' : ''}`
          t.match(body, [{ initiatorName: guestName, authentication }])
          await logOut(guest, targetName)
          const setting = `node.session.auth.password${shows ? '_in' : ''}`
          const why = shows ? /non-retryable iSCSI login failure/ : /authorization failure/
          await t.rejects(logIn(guest, targetName, { [setting]: wrong }), why)
          await authenticate(guest, { ...right, host: { user, secret: wrong } })
          await t.rejects(discover(guest, target.portal), /authorization failure/)
        }
      }
    },
  )

  const { initiatorName, user } = mutual
  const portal = `${lab.guestAddress}:${lioPort}`
  await watchTraffic({ ports: [lioPort], network: lab.network })
  const lio = await Lio.start(guest, { portal, initiatorName, host: mutual })
  const file = (name: string, text: string) => {
    const path = join(directory, name)
    writeFileSync(path, `${text}\n`, { mode: 0o600 })
    return path
  }
  const secrets = {
    wrong: file('wrong', wrong),
    host: file('host', mutual.secret),
    target: file('target', own.secret),
  }
  const who = ['--initiator-name', initiatorName, '--chap-user', user]
  const show = (host: string, target?: string) => [
    ...[...who, '--secret-file', host],
    ...(target ? ['--target-secret-file', target, '--target-user', own.user] : []),
  ]

  await t.test('our initiator and LIO authenticate to each other, by each algorithm', async (t) => {
    const info = (...flags: string[]) =>
      run(...lab.network.inside(process.execPath, [platterScript(), 'info', portal, ...flags]))
    for (const both of [false, true]) {
      if (both) await lio.show(own)
      const target = both ? secrets.target : undefined
      for (const name of Object.values(algorithms)) {
        const only = ['--chap-algorithms', name]
        const entered = await info(...only, ...show(secrets.host, target))
        t.match(
          entered,
          { status: 0, stdout: new RegExp(`lun0 +${lio.sizeBytes} bytes`) },
          entered.stderr,
        )
        const refused = await info(...only, ...show(secrets.wrong, target))
        t.match(refused, { status: 1, stderr: /login refused: AuthenticationFailure/ })
        if (!both) continue
        const left = await info(...only, ...show(secrets.host, secrets.wrong))
        t.match(left, { status: 1, stderr: /the target is not to be trusted/ })
      }
    }
    t.not((await info('--initiator-name', initiatorName)).status, 0, 'nor without a secret')
    const mounted = await FuseMount.mountFrom(
      lab.network,
      portal,
      ...show(secrets.host, secrets.target),
    )
    const data = randomBytes(MiB)
    writeFileSync(mounted.file('lun0'), data, { flag: 'r+' })
    await mounted.unmount()
    const again = await FuseMount.mountFrom(lab.network, portal, ...show(secrets.host))
    t.ok(readFileSync(again.file('lun0')).subarray(0, MiB).equals(data))
    await again.unmount()
  })

  const original = join(directory, 'noise')
  writeFileSync(original, randomBytes(4 * MiB))
  const holdsNoise = (place: string) =>
    readFileSync(join(place, 'noise')).equals(readFileSync(original))
  const copyTo = (place: string) =>
    runOk('dd', [`if=${original}`, `of=${join(place, 'noise')}`, 'bs=16K', 'oflag=dsync'])

  await t.test('our initiator has ext4 on LIO over four connections of one session', async (t) => {
    await lio.allowConnections(4)
    const flags = ['--multi', 'connections', ...show(secrets.host, secrets.target)]
    const mounted = await FuseMount.mountFrom(lab.network, portal, ...flags)
    t.equal(await lio.connections(), 4)
    await makeFileSystem('ext4', mounted.file('lun0'), async (place) => {
      await copyTo(place)
      t.ok(holdsNoise(place))
    })
    await mounted.unmount()
  })

  // Not over connections of one session: Linux 6.1 may panic when such a session is reinstated.
  await t.test('over four sessions, one of which is cut, nothing of it is lost', async (t) => {
    await lio.allowConnections(1)
    const flags = show(secrets.host, secrets.target)
    const mounted = await FuseMount.mountFrom(lab.network, portal, ...flags)
    await makeFileSystem('ext4', mounted.file('lun0'), async (place) => {
      const copying = copyTo(place)
      const ports = await runOk(...lab.network.inside('ss', ['-Htn', 'dport', '=', `:${lioPort}`]))
      t.equal(ports.trim().split('\n').length, 4)
      const [port] = /:(\d+) /.exec(ports)?.slice(1) ?? []
      await runOk(...lab.network.inside('ss', ['-K', 'sport', '=', `:${port}`]))
      await copying
      t.ok(holdsNoise(place))
    })
    t.match(mounted.process.log, /lost/)
    await mounted.unmount()
    const again = await FuseMount.mountFrom(lab.network, portal, ...flags)
    const check = async (place: string) => {
      t.ok(holdsNoise(place))
    }
    await reuseFileSystem('ext4', again.file('lun0'), check, { readOnly: true })
    await again.unmount()
  })

  await guest.powerOff()
})
