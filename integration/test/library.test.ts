/**
 * The examples of docs/library.md and of the package's own page, as their readers would use them: with the packages as npm would publish
 * them, types checked, against platterd, and their output as the page has it.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { BackgroundProcess, runOk } from '../lib/command.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
const root = join(import.meta.dirname, '..', '..')
const secret = 'secret of a program'
const initiatorName = 'iqn.2026-11.org.example:program'

interface Example {
  readonly title: string
  readonly language: 'js' | 'ts'
  readonly code: string
  readonly output: string
}

/** Every program of a page, with what is said that it prints. */
function examplesOf(path: string): Example[] {
  const page = readFileSync(join(root, path), 'utf8')
  const blocks = [...page.matchAll(/^## (.*)$|^```(\w+)\n([\s\S]*?)^```$/gm)]
  const examples: Example[] = []
  let title = path
  for (const [index, [, heading, language, code = '']] of blocks.entries()) {
    if (heading !== undefined) title = heading
    if (language !== 'js' && language !== 'ts') continue
    const [, , next, output = ''] = blocks[index + 1] ?? []
    if (next !== 'text') throw new Error(`${title}: it is not said what the example prints`)
    examples.push({ title, language, code, output })
  }
  return examples
}

/** Lays out a project that has both packages as `npm pack` makes them; what they depend on is the workspace's. */
async function createProject(): Promise<string> {
  const parent = join(root, 'integration', '.tap')
  mkdirSync(parent, { recursive: true })
  const project = temporaryDirectory(parent)
  for (const name of ['protocol', 'initiator']) {
    const packed = temporaryDirectory()
    const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', packed]
    const [{ filename }] = JSON.parse(
      await runOk('npm', pack, { cwd: join(root, 'packages', name) }),
    )
    const installed = join(project, 'node_modules', '@platter', name)
    mkdirSync(installed, { recursive: true })
    await runOk('tar', ['-xzf', join(packed, filename), '-C', installed, '--strip-components=1'])
  }
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(project, 'secret'), secret, { mode: 0o600 })
  return project
}

const compilerOptions = {
  strict: true,
  module: 'nodenext',
  target: 'es2022',
  types: ['node'],
  // Types that users cannot switch off: those of the packages are checked as well.
  skipLibCheck: false,
}

t.test('every example does what its page says', async (t) => {
  const target = await TargetProcess.start()
  const partition = { array: 'array', partition: 'scratch', size: '16M' }
  const disks = { directory: temporaryDirectory(), disks: 1, diskSize: '32M', chunk: '64K' }
  await target.createPartition({ ...disks, ...partition })
  const secretFile = join(temporaryDirectory(), 'secret')
  writeFileSync(secretFile, secret, { mode: 0o600 })
  await target.command('secret', 'set', initiatorName, '--file', secretFile)

  const examples = ['docs/library.md', 'packages/initiator/README.md'].flatMap(examplesOf)
  t.ok(examples.some(({ language }) => language === 'ts'))
  const project = await createProject()
  const portal = `host: '${target.host}', port: ${target.port}`
  for (const [index, { language, code }] of examples.entries()) {
    const here = code.replaceAll("host: '192.0.2.7', port: 3260", portal)
    t.notMatch(here, /192\.0\.2\./, 'the example names the portal as all do')
    writeFileSync(join(project, `example-${index}.${language}`), here)
  }
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions }))
  await runOk(join(root, 'node_modules', '.bin', 'tsc'), ['--project', project])

  // What happens at the server when an example has said so much.
  const fresh = 'array/fresh'
  const deeds: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['watching\n', () => target.addPartition(fresh, '1M')],
    ['added fresh 1048576\n', () => target.command('partition', 'grow', fresh, '--size', '2M')],
    ['resized fresh 2097152\n', () => target.command('partition', 'delete', fresh, '--yes')],
  ]
  for (const [index, { title, output }] of examples.entries()) {
    const cwd = ['--import', `data:text/javascript,process.chdir(${JSON.stringify(project)})`]
    const script = join(project, `example-${index}.js`)
    const program = new BackgroundProcess(process.execPath, [...cwd, script])
    for (const [said, act] of deeds) {
      if (!output.includes(said)) continue
      await program.untilReady(async () => program.log.includes(said))
      await act()
    }
    t.equal(await program.untilEnded(), 0, title)
    t.equal(program.log, output, title)
  }
  await target.stop()
})
