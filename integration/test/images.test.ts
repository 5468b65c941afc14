/** `platter read`, `write`, `copy` and `bench`, as their users run them: images to and from platterd and tgtd. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { cleanUp, onCleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { runOk } from '../lib/command.ts'
import { platter, platterOk } from '../lib/platter-cli.ts'
import { requires } from '../lib/requires.ts'
import { platterScript, type SharedPartition, TargetProcess } from '../lib/target-process.ts'
import { startTgtd } from '../lib/tgtd.ts'
import { setWriteProtection } from '../lib/write-protection.ts'

t.teardown(cleanUp)
const MiB = 2 ** 20
const sizeBytes = 32 * MiB
const directory = temporaryDirectory()
const target = await TargetProcess.start()
const first: SharedPartition = await target.createPartition({
  directory,
  disks: 2,
  diskSize: '64M',
  chunk: '64K',
  array: 'array',
  partition: 'first',
  size: '32M',
})
const second = await target.addPartition('array/second', '32M')
const targetName = await target.targetName()
const place = (name: string) => `${target.portal}/${name}`

/** What an image has that was given out: data, zeros, data, and a hole to its end. */
const image = Buffer.concat([randomBytes(5 * MiB + 1000), Buffer.alloc(20 * MiB), randomBytes(MiB)])
const imageFile = join(directory, 'image')
writeFileSync(imageFile, image)
truncateSync(imageFile, sizeBytes)
const wanted = readFileSync(imageFile)

/** Starts `platter` with a standard input that is the test's; resolves when it has taken these bytes. */
async function feed(bytes: Buffer, ...parameters: string[]) {
  const child = spawn(process.execPath, [platterScript(), ...parameters])
  onCleanUp(() => child.kill('SIGKILL'))
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const ended = once(child, 'close').then(([status]) => ({ status, stderr }))
  await new Promise((resolve) => child.stdin.write(bytes, resolve))
  return { child, ended, stderr: () => stderr }
}

t.test('an image is written, copied and read back, and its zeros take no room', async (t) => {
  await platterOk('write', '/dev/zero', place('first'), '--length', '32M', '--no-sparse')
  const written = JSON.parse(
    await platterOk('write', imageFile, place('first'), '--verify', '--json'),
  )
  t.match(written, {
    image: imageFile,
    to: { targetName, partition: 'first', offset: 0 },
    bytes: sizeBytes,
    verified: true,
  })
  t.ok(written.zeroBytes > 25 * MiB, `${written.zeroBytes} zeros`)
  const url = await target.url(second.lun)
  const copied = JSON.parse(await platterOk('copy', place('first'), url, '--verify', '--json'))
  t.match(copied, { from: { partition: 'first' }, to: { partition: 'second' }, bytes: sizeBytes })
  const file = join(directory, 'read')
  const said = await platterOk('read', place(`${targetName}/second`), file)
  t.match(
    said,
    /^second is read: 32\.0 MiB \(33554432 bytes\) in .* s, .*, 25\.\d MiB of it zeros\n$/,
  )
  t.ok(readFileSync(file).equals(wanted))
  t.ok(statSync(file).blocks * 512 < 8 * MiB, 'zeros are holes')
  for (const disk of ['disk-0', 'disk-1']) {
    const { blocks } = statSync(join(directory, disk))
    t.ok(blocks * 512 < 10 * MiB, `${blocks} blocks of ${disk}: zeros were unmapped`)
  }
})

t.test('ranges and streams have the bytes that were asked for', async (t) => {
  const length = 3 * MiB + 7
  await platterOk('write', imageFile, place('first'), '--offset', '100', '--length', `${length}`)
  const output = join(directory, 'piped')
  const script = [
    `"$0" "$1" read ${place('first')} - --offset 100 --length ${length} --depth 3 --block-size 64K`,
    `"$0" "$1" write - ${place('second')} --offset 1M --json > "$2"`,
  ]
  await runOk('sh', ['-c', script.join(' | '), process.execPath, platterScript(), output])
  t.match(JSON.parse(readFileSync(output, 'utf8')), { image: '-', bytes: length })
  const back = join(directory, 'range')
  await platterOk('read', place('second'), back, '--offset', '1M', '--length', `${length}`)
  t.ok(readFileSync(back).equals(wanted.subarray(0, length)))
  const moved = ['--from-offset', '1M', '--to-offset', '2M', '--length', `${length}`, '--no-sparse']
  await platterOk('copy', place('second'), place('first'), ...moved, '--quiet')
  await platterOk('read', place('first'), back, '--force', '--offset', '2M')
  t.ok(readFileSync(back).subarray(0, length).equals(wanted.subarray(0, length)))
})

t.test('what cannot be right is refused before anything is written', async (t) => {
  await platterOk('write', imageFile, place('first'))
  const tooLarge = join(directory, 'too-large')
  writeFileSync(tooLarge, 'x')
  truncateSync(tooLarge, sizeBytes + 1)
  const existing = join(directory, 'existing')
  writeFileSync(existing, 'precious')
  const cases: [string[], number, RegExp][] = [
    [['write', tooLarge, place('first')], 1, /has 33554433 bytes, and first 33554432; nothing was/],
    [
      ['write', imageFile, place('first'), '--offset', '1'],
      1,
      /has 33554432 bytes, and first from 1 on 33554431; nothing was written/,
    ],
    [
      ['write', imageFile, place('first'), '--length', '1G'],
      2,
      /has 33554432 bytes, not 1073741824/,
    ],
    [['write', join(directory, 'none'), place('first')], 1, /ENOENT/],
    [['write', '/dev/zero', place('first'), '--verify'], 2, /can be read but once/],
    [['write', '-', place('first'), '--secret-file', '-'], 2, /both the image and a secret/],
    [['read', place('first'), existing], 1, /existing exists: --force overwrites it/],
    [['read', place('first'), directory, '--force'], 1, /EISDIR/],
    [['read', place('first'), '-', '--offset', '33M'], 1, /first has 33554432 bytes, not/],
    [
      ['read', place('third'), '-'],
      1,
      /has no partition third for us; it has:\n {2}first\n {2}sec/,
    ],
    [['read', `iscsi://${target.portal}/${targetName}/77`, '-'], 1, /has no LUN 77 for us/],
    [['read', place('iqn.2026-11.org.platter:other/first'), '-'], 1, /has no iqn\.2026-11.*:other/],
    [['copy', place('first'), await target.url(first.lun)], 2, /cannot be copied over itself/],
    [['copy', place('first'), place('second'), '--to-offset', '1'], 1, /nothing was written/],
  ]
  const check = async ([parameters, code, message]: (typeof cases)[number]) => {
    const { status, stderr } = await platter(...parameters)
    t.equal(status, code, parameters.join(' '))
    t.match(stderr, message)
  }
  await Promise.all(cases.map(check))
  t.equal(readFileSync(existing, 'utf8'), 'precious')
  const back = join(directory, 'unchanged')
  await platterOk('read', place('first'), back)
  t.ok(readFileSync(back).equals(wanted))
})

t.test('a write-protected partition and a full disk are told by their own errors', async (t) => {
  const unit = { port: target.port, targetName, lun: second.lun }
  await setWriteProtection(unit, true)
  const refused = await platter('write', imageFile, place('second'), '--json')
  t.equal(refused.status, 1)
  t.match(JSON.parse(refused.stderr), {
    error: { code: 'EROFS', message: 'second is write protected; nothing was written' },
  })
  await setWriteProtection(unit, false)
  const full = await platter('read', place('first'), '/dev/full')
  t.equal(full.status, 1)
  t.match(
    full.stderr,
    /^platter: \/dev\/full: ENOSPC.*; the first 0 of 33554432 bytes are copied\n$/,
  )
})

t.test(
  'a partition is measured, and keeps its data unless it is said that it need not',
  async (t) => {
    const short = ['--seconds', '0.2', '--json']
    await platterOk('write', imageFile, place('first'))
    const usual = JSON.parse(await platterOk('bench', place('first'), ...short))
    t.match(usual, { targetName, partition: 'first' })
    t.strictSame(
      usual.results.map(({ operation, pattern, depth }: Record<string, unknown>) => [
        operation,
        pattern,
        depth,
      ]),
      [
        ['read', 'random', 1],
        ['read', 'random', 32],
        ['read', 'sequential', 8],
      ],
    )
    for (const { operations, seconds, iops, latencyMicros } of usual.results) {
      t.ok(operations > 0 && seconds > 0 && iops > 0)
      const { p50, p90, p99, p999, max } = latencyMicros
      t.ok(p50 > 0 && p50 <= p90 && p90 <= p99 && p99 <= p999 && p999 <= max)
    }
    const back = join(directory, 'measured')
    await platterOk('read', place('first'), back)
    t.ok(readFileSync(back).equals(wanted))
    const table = await platterOk(
      'bench',
      place('first'),
      '--seconds',
      '0.2',
      '--depth',
      '4',
      '--destroy-data',
    )
    t.match(
      table,
      /IOPS .*p99\.9 .*\nrandom read 4\.00 KiB depth 4 .*\nrandom write 4\.00 KiB depth 4 /,
    )
    await platterOk('read', place('first'), back, '--force')
    t.notOk(readFileSync(back).equals(wanted))
  },
)

t.test('a stream that is too long, or interrupted, says how far it came', async (t) => {
  const long = await platter('write', '/dev/zero', place('second'))
  t.equal(long.status, 1)
  t.match(
    long.stderr,
    /second: there is more than the 33554432 bytes for it; the first 33554432 bytes/,
  )
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const begin = wanted.subarray(0, 4 * MiB)
    const { child, ended, stderr } = await feed(begin, 'write', '-', place('second'))
    child.kill(signal)
    while (!stderr().includes('stopping')) await once(child.stderr, 'data')
    child.stdin.end()
    const { status, stderr: said } = await ended
    t.equal(status, code, signal)
    const howFar = `the first ${4 * MiB} of ${4 * MiB} bytes are copied`
    t.match(said, new RegExp(`interrupted by ${signal}; ${howFar}\n$`))
  }
})

t.test('a server that comes back is a delay, and one that does not is an error', async (t) => {
  const begin = wanted.subarray(0, 8 * MiB)
  const { child, ended } = await feed(begin, 'write', '-', place('second'))
  await target.kill()
  child.stdin.end(wanted.subarray(8 * MiB))
  await target.serve()
  t.match(await ended, { status: 0 })
  const back = join(directory, 'after')
  await platterOk('read', place('second'), back)
  t.ok(readFileSync(back).equals(wanted))

  const lost = await feed(begin, 'write', '-', place('second'), '--retry-for', '1')
  await target.kill()
  lost.child.stdin.on('error', () => {})
  lost.child.stdin.end(wanted.subarray(8 * MiB))
  const { status, stderr } = await lost.ended
  t.equal(status, 3, stderr)
  t.match(stderr, /no connection for 1000 ms.*; the first \d+ .*bytes are copied\n$/)
  await target.serve()
})

t.test(
  'images go to tgtd and come from it, each end with secrets of its own',
  requires('tgt', 'root'),
  async (t) => {
    const backing = join(directory, 'backing')
    writeFileSync(backing, Buffer.alloc(sizeBytes, 7))
    const account = { user: 'copier', secret: 'secret of tgtd' }
    const tgtd = await startTgtd([backing], {
      incoming: account,
      outgoing: { user: 'tgtd', secret: 'what tgtd shows' },
    })
    const secret = join(directory, 'secret')
    writeFileSync(secret, account.secret)
    chmodSync(secret, 0o600)
    // tgtd has no CHAP in discovery unless it is told to.
    const md5 = ['--chap-algorithms', 'md5', '--min-auth', 'none']
    const to = ['--to-secret-file', secret, '--to-chap-user', account.user, ...md5]
    await platterOk('write', imageFile, place('first'))
    const copied = await platterOk('copy', place('first'), tgtd.url(0), ...to, '--verify')
    t.match(copied, /^first is copied to lun1: 32\.0 MiB .*, verified\n$/)
    t.ok(readFileSync(backing).equals(wanted))
    const back = join(directory, 'from-tgtd')
    const own = ['--secret-file', secret, '--chap-user', account.user, ...md5]
    await platterOk('read', `127.0.0.1:${tgtd.port}/lun1`, back, ...own)
    t.ok(readFileSync(back).equals(wanted))
    // Both servers at once, and a portal where nobody is.
    const portals = [target.portal, `127.0.0.1:${tgtd.port}`, '127.0.0.1:1', target.portal]
    const found = await platter('discover', ...portals, '--json')
    t.equal(found.status, 0)
    t.match(found.stderr, /^platter: 127\.0\.0\.1:1: connect ECONNREFUSED .*\n$/)
    t.strictSame(JSON.parse(found.stdout), [
      { name: targetName, portals: [target.portal] },
      { name: tgtd.targetName, portals: [`127.0.0.1:${tgtd.port}`] },
    ])
    await tgtd.stop()
  },
)
