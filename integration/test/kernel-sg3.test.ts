/** sg3_utils in a Linux guest, which decodes what platterd sends, and says what we mean. */
import t, { type Test } from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { startLab } from '../lib/guest/lab.ts'
import { discover, diskOf, logIn } from '../lib/guest/open-iscsi.ts'
import { requires } from '../lib/requires.ts'

t.teardown(cleanUp)

const needs = { ...requires('guest', 'root', 'tap'), timeout: 540_000 }

/** What sg3_utils and the kernel say of data that they cannot make sense of. */
const complaint =
  /malformed|invalid|too (?:short|long|small)|\breserved\b|unexpected|illegal|truncated|failed|bad /i

t.test('sg3_utils decodes what a partition answers', needs, async (t) => {
  const { guest, target } = await startLab()
  t.teardown(() => {
    if (!t.passing()) console.error(guest.console)
  })
  const partition = await target.createPartition({
    directory: temporaryDirectory(),
    disks: 4,
    diskSize: '64M',
    chunk: '64K',
    array: 'fast',
    partition: 'data',
    size: '64M',
    blockSize: '512',
  })
  for (const format of ['512e', '4kn']) {
    await target.addPartition(`fast/${format}`, '16M', '--block-size', format)
  }
  const targetName = await target.targetName()
  await discover(guest, target.portal)
  await logIn(guest, targetName)
  const [disk = '', disk512e = '', disk4kn = ''] = await Promise.all(
    [0, 1, 2].map((lun) => diskOf(guest, targetName, lun)),
  )

  /** Runs a program on the disk: it must end well, complain of nothing and say all of this. */
  const check = async (t: Test, command: string, ...says: RegExp[]) => {
    const script = command.includes('/dev/sd') ? command : `${command} ${disk}`
    const { status, stdout, stderr } = await guest.run(script)
    t.equal(status, 0, `${command} is content\n${stdout}${stderr}`)
    t.notMatch(stdout + stderr, complaint, `${command} complains of nothing`)
    for (const words of says) t.match(stdout + stderr, words, `${command} says ${words}`)
    return stdout
  }
  /** Compares blocks of the disk, read by the kernel past its cache, with a file. */
  const holds = async (t: Test, lba: number, blocks: number, file: string) => {
    const read = `dd if=${disk} bs=512 skip=${lba} count=${blocks} iflag=direct status=none`
    t.equal((await guest.run(`${read} | cmp -n ${blocks * 512} - ${file}`)).status, 0)
  }
  await guest.runOk('head -c 65536 /dev/urandom > /tmp/noise; head -c 512 /tmp/noise > /tmp/block')
  await guest.runOk('for i in 1 2 3 4 5 6 7 8; do cat /tmp/block; done > /tmp/blocks')

  await t.test('sg_inq reads the standard INQUIRY data', async (t) => {
    await check(
      ...[t, 'sg_inq', /PQual=0 {2}PDT=0 {2}RMB=0 .*\[SPC-4\]/, /TPGS=1 /, /CmdQue=1/],
      ...[/Vendor identification: PLATTER/, /Product identification: PARTITION/],
      new RegExp(`Unit serial number: ${partition.id.replaceAll('-', '')}`),
    )
  })

  await t.test('sg_vpd decodes every page that is listed', async (t) => {
    const listed = await check(t, 'sg_vpd --page=sv')
    const pages = [...listed.matchAll(/\[(\w+)\]$/gm)].map(([, page]) => page)
    t.strictSame(pages, ['sv', 'sn', 'di', 'ei', 'tpc', 'bl', 'bdc', 'lbpv'])
    const serial = partition.id.replaceAll('-', '')
    await check(t, 'sg_vpd --page=0x80', new RegExp(`Unit serial number: ${serial}`))
    await check(
      ...[t, 'sg_vpd --page=0x83', new RegExp(`NAA.*\n +0x3${serial.slice(-15)}`)],
      ...[
        /vendor id: PLATTER/,
        new RegExp(`vendor specific: ${partition.id}`),
        /64 61 74 61 .*data/,
      ],
      ...[/Relative target port: 0x1/, /Target port group: 0x1/, /Internet SCSI \(iSCSI\)/],
      ...[
        new RegExp(`SCSI name string:\\n +${targetName},t,0x0001\\n`),
        new RegExp(`Target device that .*\\n(?:.*\\n)* +SCSI name string:\\n +${targetName}\\n`),
      ],
    )
    await check(t, 'sg_vpd --page=0x86', /HEADSUP=1 ORDSUP=1 SIMPSUP=1/, / V_SUP=1/)
    await check(t, 'sg_vpd --page=0x8f')
    await check(
      ...[t, 'sg_vpd --page=0xb0', /\(WSNZ\): 0/, /compare and write length: 64 blocks/],
      ...[/Maximum transfer length: 32768 blocks/, /length granularity: 128 blocks/],
      ...[/Maximum unmap LBA count: 524288/, /unmap block descriptor count: 256/],
      ...[/Optimal unmap granularity: 8 blocks/, /granularity alignment valid: true/],
      /Maximum write same length: 0x8000 blocks/,
      ...[/Maximum atomic transfer length: 2048 blocks/, /Atomic alignment: 0 .*permitted/],
      ...[/atomic boundary: 2048 blocks/, /Maximum atomic boundary size: 2048 blocks/],
    )
    await check(t, 'sg_vpd --page=0xb1', /Non-rotating medium/)
    await check(
      ...[t, 'sg_vpd --page=0xb2', /\(LBPU\): 1/, /\(LBPWS\): 1/, /\(LBPWS10\): 0/, /\(LBPRZ\): 1/],
      /Provisioning type: 2 \(thin provisioned\)/,
    )
    await check(t, 'sg_vpd --all')
  })

  await t.test('sg_readcap reads both capacities, in every format of blocks', async (t) => {
    await check(t, 'sg_readcap', /Last LBA=131071 /, /block length=512 bytes/)
    await check(
      ...[t, 'sg_readcap --long', /prot_en=0/, /lbpme=1, lbprz=1/, /Last LBA=131071 /],
      ...[/physical block exponent=0/, /Lowest aligned LBA=0/],
    )
    const exponent = /exponent=3 \[so physical block length=4096 bytes\]/
    await check(t, `sg_readcap --long ${disk512e}`, /Last LBA=32767 /, exponent)
    await check(t, `sg_readcap --long ${disk4kn}`, /Last LBA=4095 /, /block length=4096 bytes/)
  })

  await t.test('sg_luns lists the units that there are', async (t) => {
    const luns = /^ +0{16}\n +0001000000000000\n +0002000000000000$/m
    await check(t, 'sg_luns', /length = 24 /, luns)
    await check(t, 'sg_luns --select=2', luns)
    await check(t, 'sg_luns --select=1', /length = 0 /)
  })

  await t.test('sg_modes decodes every mode page', async (t) => {
    const pages = ['Read-Write error recovery', 'Caching', 'Control', 'Informational exceptions']
    const named = pages.map((page) => new RegExp(`>> ${page}.*current\\n 00 +[0-9a-f]{2} `))
    await check(t, 'sg_modes --all', /WP=0, DpoFua=1/, ...named)
    await check(t, 'sg_modes --six --all', /MODE SENSE\(6\)/, ...named)
    await check(t, 'sg_modes --all --llbaa', /longlba=1/, ...named)
    await check(t, 'sg_modes --dbd --page=8', /08 12 04/)
    await check(t, 'sg_modes --dbd --page=10 --control=1', /0a 0a 04 00 08/)
  })

  await t.test('sg_opcodes lists the commands, with usage data and timeouts', async (t) => {
    const listed = await check(t, 'sg_opcodes --mask', /^ 28 +10 .*Read\(10\)/m)
    t.ok((listed.match(/cdb usage: [0-9a-f]{2} /g)?.length ?? 0) > 50, listed)
    await check(t, 'sg_opcodes --rctd', /^ 89 +16 .*Compare and write/m)
    const mask = /28 f8 ff ff ff ff [0-9a-f]{2} ff ff 04/
    await check(t, 'sg_opcodes --rctd --opcode=0x28', /supported \[conforming/, mask)
    await check(t, 'sg_opcodes --opcode=0x9e,0x12', /Usage data: 9e 12 ff/)
    await check(t, 'sg_opcodes --tmf --repd', /Abort task/i, /Logical unit reset/i)
  })

  await t.test('sg_rtpg reports the one target port group', async (t) => {
    for (const options of ['', '--extended']) {
      const active = /\(active\/optimized\)/
      await check(t, `sg_rtpg --decode ${options}`, /group id : 0x1 , Pref=0/, active, /\b0x01$/m)
    }
  })

  await t.test('sg_persist registers, reserves, reads all of it and lets go', async (t) => {
    const out = 'sg_persist --out --param-rk=abc123'
    await check(t, 'sg_persist --in --report-capabilities', /\(CRH\): 1/, /\(ATP_C\): 1/)
    await check(t, 'sg_persist --in --read-keys', /NO registered reservation keys/)
    await check(t, 'sg_persist --out --register --param-sark=abc123')
    await check(t, `${out} --reserve --prout-type=5`)
    await check(
      t,
      'sg_persist --in --read-keys',
      /1 registered reservation key follows:\n +0xabc123/,
    )
    const type = /LU_SCOPE, {2}type: Write Exclusive, registrants only/
    await check(t, 'sg_persist --in --read-reservation', /Key=0xabc123/, type)
    const port = /iSCSI.*port id: iqn\.2026-11\.org\.platter:guest,i,0x[0-9a-f]{12}$/m
    await check(t, 'sg_persist --in --read-full-status', /Reservation holder/, type, port)
    await check(t, `${out} --release --prout-type=5`)
    await check(t, 'sg_persist --in --read-reservation', /there is NO reservation held/)
    await check(t, `${out} --clear`)
    await check(t, 'sg_persist --in --read-keys', /NO registered reservation keys/)
  })

  await t.test('sg_write_same, sg_unmap and sg_get_lba_status agree on the blocks', async (t) => {
    await check(t, 'sg_write_same --10 --lba=0 --num=8 --xferlen=512 --in=/tmp/block')
    await holds(t, 0, 8, '/tmp/blocks')
    await check(t, 'sg_write_same --16 --lba=8 --num=8 --xferlen=512 --in=/tmp/block')
    await holds(t, 8, 8, '/tmp/blocks')
    await check(t, 'sg_unmap --force --lba=0 --num=8')
    await holds(t, 0, 8, '/dev/zero')
    await holds(t, 8, 8, '/tmp/blocks')
    await check(t, 'sg_write_same --unmap --lba=8 --num=8 --xferlen=512 --in=/dev/zero')
    await holds(t, 8, 8, '/dev/zero')
    await check(t, 'sg_write_same --16 --lba=8 --num=8 --xferlen=512 --in=/tmp/block')
    await check(t, 'sg_write_same --ndob --lba=8 --num=8')
    await holds(t, 8, 8, '/dev/zero')
    // WRITE SAME without UNMAP stores its zeros.
    await check(t, 'sg_get_lba_status --lba=0', /LBA: 0x0{16} +blocks: +8 +deallocated/)
    await check(t, 'sg_get_lba_status --lba=8', /LBA: 0x0{15}8 +blocks: +\d+ +mapped/)
  })

  await t.test(
    'sg_compare_and_write writes what matches, and says where it does not',
    async (t) => {
      await guest.runOk('head -c 512 /dev/zero | cat - /tmp/block > /tmp/pair')
      await check(t, 'sg_compare_and_write --lba=16 --num=1 --in=/tmp/pair')
      await holds(t, 16, 1, '/tmp/block')
      await guest.runOk('head -c 500 /tmp/block > /tmp/pair; head -c 524 /dev/zero >> /tmp/pair')
      const other = await guest.run(`sg_compare_and_write --lba=16 --num=1 --in=/tmp/pair ${disk}`)
      t.equal(other.status, 14, 'SG_LIB_CAT_MISCOMPARE')
      t.match(other.stdout + other.stderr, /Miscompare at byte offset: 500 /)
      await holds(t, 16, 1, '/tmp/block')
    },
  )

  await t.test('sg_verify reads blocks, and compares them', async (t) => {
    await check(t, 'sg_verify --lba=0 --count=131072')
    await check(t, 'sg_verify --16 --lba=16 --count=1 --ndo=512 --in=/tmp/block')
    const verify = `sg_verify --lba=17 --count=1 --ndo=512 --in=/tmp/block ${disk}`
    t.equal((await guest.run(verify)).status, 14, 'SG_LIB_CAT_MISCOMPARE')
  })

  await t.test('sg_turs, sg_requests, sg_sync, sg_start and sg_prevent are content', async (t) => {
    for (const command of ['sg_turs', 'sg_sync', 'sg_start --start', 'sg_prevent --prevent=0']) {
      await check(t, command)
    }
    await check(t, 'sg_requests', /No additional sense information/)
  })

  await t.test('sg_reset resets the unit and the target, and the session stays', async (t) => {
    // The kernel's iscsi_tcp has no reset of a bus or a host.
    await check(t, 'sg_reset --no-escalate --device')
    await check(t, 'sg_turs')
    await check(t, 'sg_reset --no-escalate --target')
    await check(t, 'sg_turs')
    t.match(await guest.runOk('iscsiadm -m session -P 1'), /Session State: LOGGED_IN/)
    const log = await guest.runOk('dmesg')
    const lines = log.slice(log.indexOf('iSCSI Initiator over TCP')).split('\n')
    t.strictSame(
      lines.filter((line) => /connection\d|error|timed out|fail/i.test(line)),
      [],
      'the kernel saw the resets done',
    )
  })

  await guest.runOk('iscsiadm -m node --logoutall=all')
  await guest.powerOff()
})
