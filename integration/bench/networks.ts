/**
 * The host side over two networks: what they add up to, what several connections are worth where the way
 * is long, and what cuts cost. A server and a host in namespaces, two cables with tc between them and a
 * long one with a delay (delay.c), fio on the mounted file. Root only.
 *
 *     npm run bench -- --networks [--rounds N] [--seconds S] [--cuts N]
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { BackgroundProcess, runOk } from '../lib/command.ts'
import { FuseMount } from '../lib/fuse-mount.ts'
import { TargetProcess } from '../lib/target-process.ts'
import { cables, TwoNetworks } from '../lib/two-networks.ts'
import { type FioFigures, stream, verified } from './fio.ts'
import { spread } from './measurement.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    cuts: { type: 'string' },
  },
})
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)
const MiB = 2 ** 20

interface Lab {
  readonly networks: TwoNetworks
  readonly target: TargetProcess
}

/**
 * TCP's windows are bounded, as between hosts that were not tuned for long ways: what one connection
 * gets is bounded by them, and not by the processors of the machine that all of this runs on.
 */
const windows = '4096 131072 1048576'
const longCable = { device: 'long', server: '10.77.3.1', host: '10.77.3.2', delayMs: 10 } as const

async function startLab(): Promise<Lab> {
  const networks = await TwoNetworks.create()
  const { cable1, cable2 } = networks.addresses
  await layLongCable(networks)
  const portals = [cable2, longCable.server].flatMap((address) => ['--portal', address])
  const target = await TargetProcess.startIn(networks.server, cable1, portals)
  await target.createPartition({
    directory: temporaryDirectory('/dev/shm'),
    disks: 2,
    diskSize: '160M',
    chunk: '64K',
    array: 'bench',
    partition: 'lun',
    size: '256M',
  })
  return { networks, target }
}

/** Packets take 10 ms each way. */
async function layLongCable({ server, host }: TwoNetworks): Promise<void> {
  const { device, delayMs } = longCable
  const program = join(temporaryDirectory(), 'delay')
  const source = join(import.meta.dirname, '..', '..', 'bench', 'delay.c')
  await runOk('gcc', ['-O2', '-Wall', '-Wextra', '-o', program, source])
  const ends = [server.name, host.name]
  const delay = new BackgroundProcess(program, [...ends, device, String(delayMs)])
  await delay.untilReady(async () => delay.log.includes('ready'))
  await server.plugIn(device, `${longCable.server}/24`)
  await host.plugIn(device, `${longCable.host}/24`)
  for (const end of [server, host]) {
    const settings = ['tcp_rmem', 'tcp_wmem'].map((name) => `net.ipv4.${name}=${windows}`)
    await runOk(...end.inside('sysctl', ['-q', '-w', ...settings]))
  }
}

function mount({ networks }: Lab, ...options: string[]): Promise<FuseMount> {
  return FuseMount.mountFrom(networks.host, networks.addresses.cable1, ...options)
}

function mountBoth(lab: Lab, ...options: string[]): Promise<FuseMount> {
  return mount(lab, '--portal', lab.networks.addresses.cable2, ...options)
}

/** What each setting reaches, in turn, and the ratio of neighbours. */
async function compare(
  what: string,
  wanted: number,
  depth: number,
  [one, other]: readonly [FuseMount, FuseMount],
): Promise<void> {
  for (const rw of ['read', 'write'] as const) {
    const rates: [number[], number[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      rates[0].push((await stream(one.file('lun'), rw, seconds, depth)).rate / MiB)
      rates[1].push((await stream(other.file('lun'), rw, seconds, depth)).rate / MiB)
    }
    const ratio = spread(rates[1].map((rate, round) => rate / (rates[0][round] ?? rate)))
    const [before, after] = rates.map((each) => spread(each).median.toFixed(0))
    const width = `${ratio.minimum.toFixed(2)}..${ratio.maximum.toFixed(2)}`
    const met = ratio.median >= wanted ? 'met' : 'BELOW'
    console.log(
      `${`${what}, ${rw}`.padEnd(52)}${before?.padStart(6)}${after?.padStart(6)} MiB/s  ` +
        `${ratio.median.toFixed(2)} (${width})  >= ${wanted}  ${met}`,
    )
    if (ratio.median < wanted) process.exitCode = 1
  }
}

async function compareNetworks(lab: Lab): Promise<void> {
  await lab.networks.limit('200mbit')
  const mounts = [await mount(lab, '--connections', '1'), await mountBoth(lab)] as const
  await compare('two networks of 200 Mbit/s to one', 1.85, 8, mounts)
  for (const each of mounts) await each.unmount()
}

async function compareConnections({ networks }: Lab): Promise<void> {
  const mounts = await Promise.all(
    ['1', '4'].map((connections) =>
      FuseMount.mountFrom(networks.host, longCable.server, '--connections', connections),
    ),
  )
  const [one, four] = mounts as [FuseMount, FuseMount]
  await compare('four connections to one, 20 ms there and back', 3, 32, [one, four])
  for (const each of mounts) await each.unmount()
}

/** One network is cut silently in the midst of a verified run, and later the server killed. */
async function cutInTheMidst({ networks, target }: Lab, file: string): Promise<FioFigures> {
  const running = verified(file, 40)
  await pause(5)
  await networks.cut('cable2')
  await pause(12)
  await networks.mend('cable2')
  await pause(10)
  await target.kill()
  await pause(1)
  await target.serve()
  return running
}

/** Cuts at random, of either cable or of the server, under one verified run. */
async function cutOften({ networks, target }: Lab, file: string, cuts: number) {
  let going = true
  const figures: FioFigures[] = []
  const running = (async () => {
    while (going) figures.push(await verified(file, 20))
  })()
  const cutting = (async () => {
    for (let cut = 0; cut < cuts && going; cut++) {
      if (Math.random() < 0.2) {
        await target.kill()
        await pause(Math.random())
        await target.serve()
      } else {
        const cable = cables[Math.random() < 0.5 ? 0 : 1] as (typeof cables)[number]
        await networks.cut(cable)
        await pause(Math.random() * 8)
        await networks.mend(cable)
      }
      // Time for what was cut to come back: who cuts both has cut all.
      await pause(3 + Math.random() * 2)
    }
    going = false
  })()
  await Promise.all([running, cutting]).finally(() => {
    going = false
  })
  return figures
}

async function survive(lab: Lab): Promise<void> {
  await lab.networks.limit('200mbit')
  const both = await mountBoth(lab)
  const file = both.file('lun')
  const before = await stream(file, 'read', seconds, 8)
  const figures =
    values.cuts === undefined
      ? [await cutInTheMidst(lab, file)]
      : await cutOften(lab, file, Number(values.cuts))
  const what =
    values.cuts === undefined ? 'a silent cut and a killed server' : `${values.cuts} cuts`
  const operations = figures.reduce((sum, each) => sum + each.operations, 0)
  const slowest = Math.max(...figures.map(({ slowestMs }) => slowestMs)) / 1000
  console.log(
    `${what}: ${operations} operations verified, no error; the slowest took ${slowest.toFixed(1)} s`,
  )
  await pause(6)
  const after = await stream(file, 'read', seconds, 8)
  const ratio = after.rate / before.rate
  console.log(`afterwards reads have ${ratio.toFixed(2)} of the speed that they had before`)
  console.log(both.process.log.trim().split('\n').slice(-12).join('\n'))
  await both.unmount()
  if (slowest > 10 || ratio < 0.9) process.exitCode = 1
}

function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000))
}

try {
  const lab = await startLab()
  if (values.cuts === undefined) {
    await compareNetworks(lab)
    await compareConnections(lab)
  }
  await survive(lab)
  await lab.target.stop()
} finally {
  cleanUp()
}
