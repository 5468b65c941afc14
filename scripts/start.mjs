/**
 * `npm start`: the whole road. Makes four disk files into a RAID-0 array, serves a partition of it,
 * mounts that as a file, writes real data through the mount, and shows that they are there after all
 * of it was stopped and started again. Then it serves until Ctrl-C; with --once it ends there.
 *
 * Everything lies in .platter/demo, and is used again by the next start.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { ensureDebianPackages, ensureNpmPackages, root } from './prerequisites.mjs'
import { runStep } from './tally.mjs'

const MiB = 2 ** 20
const usage = `npm start [-- OPTIONS]

  --once         end after the demonstration, instead of serving until Ctrl-C
  --fresh        forget what an earlier start has made
  --port NUMBER  serve here (default: 3260, or any free port if that is taken)
`

const demo = join(root, '.platter', 'demo')
const state = join(demo, 'state')
const mountpoint = join(demo, 'mnt')
const platterd = join(root, 'packages/target/bin/platterd.cjs')
const platter = join(root, 'packages/initiator/bin/platter.js')
const disks = ['disk1', 'disk2', 'disk3', 'disk4'].map((name) => join(demo, name))
const array = 'demo'
/** One to show with, which every start writes to; and one for whoever wants to try things. */
const partitions = [
  { name: 'proof', size: '64M' },
  { name: 'scratch', size: '768M' },
]
const proof = join(mountpoint, 'proof')
const scratch = join(mountpoint, 'scratch')

/**
 * A program of ours that runs until it is told to stop.
 * @typedef {{ child: import('node:child_process').ChildProcess, said: any }} Running
 */

/** @type {Running[]} what runs, newest last */
const running = []

let stopping = false

const options = readOptions()
process.once('exit', () => {
  for (const { child } of running) child.kill('SIGKILL')
})
try {
  await main()
} catch (error) {
  console.error(`npm start: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
  await stopAll()
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        once: { type: 'boolean', default: false },
        fresh: { type: 'boolean', default: false },
        port: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) {
      console.log(usage)
      process.exit(0)
    }
    return values
  } catch (error) {
    console.error(`npm start: ${/** @type {Error} */ (error).message}\n\n${usage}`)
    process.exit(2)
  }
}

async function main() {
  ensureNpmPackages()
  if (!ensureDebianPackages(['mount'])) process.exit(1)
  process.env.TURBO_TELEMETRY_DISABLED = '1'
  const build = ['run', 'build', '--output-logs=errors-only', '--filter=./packages/*']
  if (runStep('build', 'turbo', build).failed > 0) process.exit(1)
  if (options.fresh) rmSync(demo, { recursive: true, force: true })
  mkdirSync(mountpoint, { recursive: true })
  const stopRequested = awaitStopSignal()

  const port = options.port === undefined ? await portToUse(3260) : Number(options.port)
  let server = await serve(port)
  makePartitions()
  let mounted = await mount(port)
  const data = realData()
  const wanted = await writeThrough(data)
  await stop(mounted)
  await stop(server)
  say('restart', 'platterd and the mount stopped, and started again on the same disks')
  server = await serve(port)
  mounted = await mount(port)
  await verify(data.length, wanted)

  tellWhatIsWhere(port, server.said.targetName)
  if (options.once) {
    await stopAll()
    console.log('\ndone: the data came back through the whole road, and outlived a restart')
    return
  }
  console.log('\nServing until Ctrl-C.')
  const ended = await Promise.race([stopRequested, untilOneEnds()])
  console.log(`\n${ended}: unmounting and stopping`)
  await stopAll()
}

/** @param {string} what @param {string} said */
function say(what, said) {
  console.log(`${what.padEnd(10)} ${said}`)
}

/** @param {number} port @returns {Promise<Running>} */
async function serve(port) {
  const portal = `127.0.0.1:${port}`
  const flags = ['serve', '--state', state, '--portal', portal, '--json', '--log-level', 'warn']
  const server = await launch(platterd, flags)
  say('portal', `${portal}, target ${server.said.targetName}`)
  return server
}

/** @param {number} port @returns {Promise<Running>} */
async function mount(port) {
  const mounted = await launch(platter, ['mount', `127.0.0.1:${port}`, mountpoint, '--json'])
  const { servers, directory } = mounted.said
  for (const { name, sizeBytes } of servers[0].partitions) {
    say('mount', `${join(directory, name)}, ${sizeBytes / MiB} MiB`)
  }
  return mounted
}

/**
 * Starts a program that prints one line of JSON when it is ready.
 * @param {string} program
 * @param {readonly string[]} flags
 * @returns {Promise<Running>}
 */
async function launch(program, flags) {
  // In a group of its own: Ctrl-C comes to us only, and we stop them in order.
  const child = spawn(process.execPath, [program, ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  /** @type {Running} */
  const started = { child, said: undefined }
  running.push(started)
  const line = once(createInterface({ input: child.stdout }), 'line')
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`${flags[0]} ended with exit code ${code} before it was ready`)
  })
  const [text] = await Promise.race([line, ended])
  ended.catch(() => {})
  started.said = JSON.parse(text)
  return started
}

/** @param {Running} program */
async function stop(program) {
  const { child } = program
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  running.splice(running.indexOf(program), 1)
}

/** The mount before the server that it needs. */
async function stopAll() {
  for (const program of [...running].reverse()) await stop(program)
}

/** @returns {Promise<string>} */
function untilOneEnds() {
  const endings = running.map(({ child }) => once(child, 'exit'))
  return Promise.race(endings).then(() => 'one of the programs has ended')
}

/** Resolves on the first Ctrl-C; each one more goes to the mount, and ends what is still in use. */
function awaitStopSignal() {
  return /** @type {Promise<string>} */ (
    new Promise((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM']) {
        process.on(signal, () => {
          if (stopping) running.at(-1)?.child.kill('SIGTERM')
          stopping = true
          resolve(signal)
        })
      }
    })
  )
}

/** Makes what is not there yet. */
function makePartitions() {
  const known = ask('disk', 'list').map((/** @type {{ path: string }} */ { path }) => path)
  for (const disk of disks) {
    if (!known.includes(disk)) ask('disk', 'create', disk, '--size', '256M')
  }
  if (!hasName(ask('array', 'list'), array)) {
    ask('array', 'create', array, '--level', 'raid0', '--chunk', '64K', ...disks)
  }
  say('array', `${array}: RAID 0 over ${disks.length} disk files in ${demo}`)
  const found = ask('partition', 'list')
  for (const { name, size } of partitions) {
    const forAll = ['--size', size, '--host', '*']
    if (!hasName(found, name)) ask('partition', 'create', `${array}/${name}`, ...forAll)
  }
  for (const { name, sizeBytes, grants } of ask('partition', 'list')) {
    say('partition', `${array}/${name}, ${sizeBytes / MiB} MiB, LUN ${grants[0].lun} for all hosts`)
  }
}

/** @param {readonly { name: string }[]} all @param {string} wanted */
function hasName(all, wanted) {
  return all.some(({ name }) => name === wanted)
}

/** One command of platterd. @param {string[]} words @returns {any} */
function ask(...words) {
  const flags = [...words, '--state', state, '--json']
  const { status, stdout, stderr } = spawnSync(process.execPath, [platterd, ...flags], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`platterd ${words.join(' ')}: ${stderr}`)
  return JSON.parse(stdout)
}

/** Something that is worth keeping: the TypeScript compiler, as npm has installed it. */
function realData() {
  const folder = join(root, 'node_modules', 'typescript', 'lib')
  const names = readdirSync(folder).filter((name) => name.endsWith('.js') || name.endsWith('.ts'))
  return Buffer.concat(names.map((name) => readFileSync(join(folder, name))))
}

/** @param {Buffer} data @returns {Promise<string>} its checksum */
async function writeThrough(data) {
  const handle = await open(proof, 'r+')
  const startedMs = performance.now()
  await handle.write(data, 0, data.length, 0)
  await handle.sync()
  const seconds = (performance.now() - startedMs) / 1000
  await handle.close()
  const checksum = createHash('sha256').update(data).digest('hex')
  const amount = `${(data.length / MiB).toFixed(1)} MiB in ${seconds.toFixed(2)} s, fsync included`
  say('write', `${amount}, sha256 ${checksum.slice(0, 16)}…`)
  return checksum
}

/** @param {number} length @param {string} wanted */
async function verify(length, wanted) {
  const handle = await open(proof, 'r')
  const hash = createHash('sha256')
  const startedMs = performance.now()
  for await (const chunk of handle.createReadStream({ end: length - 1, highWaterMark: MiB })) {
    hash.update(chunk)
  }
  const seconds = (performance.now() - startedMs) / 1000
  const got = hash.digest('hex')
  say(
    'read',
    `${(length / MiB).toFixed(1)} MiB in ${seconds.toFixed(2)} s, sha256 ${got.slice(0, 16)}…`,
  )
  if (got !== wanted) throw new Error(`what was read back has sha256 ${got}, wanted ${wanted}`)
  say('checksum', 'the same: written, kept across the restart, and read back')
}

/** @param {number} port @param {string} targetName */
function tellWhatIsWhere(port, targetName) {
  const scratchLun = ask('grant', 'list').find(
    (/** @type {{ partition: string }} */ { partition }) => partition === 'scratch',
  ).lun
  const url = `iscsi://127.0.0.1:${port}/${targetName}/${scratchLun}`
  console.log(`
A partition for you, as a file          ${scratch}
The same partition, to any other client ${url}

Try, in another terminal:
  mkfs.ext4 ${scratch}
  iscsi-inq ${url}
  node ${platter} discover 127.0.0.1:${port}
  node ${platterd} session list --state ${state}`)
}

/** That port if nobody listens there, else one that is free. @param {number} wanted */
async function portToUse(wanted) {
  for (const port of [wanted, 0]) {
    const server = createServer()
    try {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
      const address = /** @type {import('node:net').AddressInfo} */ (server.address())
      await new Promise((resolve) => server.close(resolve))
      return address.port
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EADDRINUSE') throw error
    }
  }
  throw new Error('no free port')
}
