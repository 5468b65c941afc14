/**
 * libiscsi's conformance suite against platterd: all of it, destructive tests and sanitize included, on two
 * paths and at every block size, held to what conformance-expectations.ts says of each test.
 */
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { run, runOk } from '../lib/command.ts'
import { freePort } from '../lib/port.ts'
import { requires } from '../lib/requires.ts'
import { TargetProcess } from '../lib/target-process.ts'
import { setWriteProtection } from '../lib/write-protection.ts'
import {
  type BlockSize,
  blockSizes,
  expectations,
  isolatedSuites,
  writeProtectedSuites,
} from './conformance-expectations.ts'

t.teardown(cleanUp)
t.jobs = 4
const needs = { ...requires('clients'), timeout: 600_000 }

type Outcomes = Record<string, Record<string, string>>

/**
 * Of each test of each suite in what iscsi-test-cu printed: pass, `skip: reason`, or `fail: ` and where in its
 * source. What comes after a verdict is about the suite's own setting up, not about the test.
 */
function outcomes(printed: string): Outcomes {
  const found: Outcomes = {}
  for (const suite of printed.split(/^Suite: /m).slice(1)) {
    const [heading = '', ...tests] = suite.split(/^ +Test: /m)
    found[heading.trim()] ??= {}
    const inSuite = found[heading.trim()] as Record<string, string>
    for (const test of tests) {
      const [, name = '', said = '', verdict = '', rest = ''] =
        /^(\S+) \.\.\.([\s\S]*?)(passed|(?<!\[)FAILED)([\s\S]*)/.exec(test) ?? []
      const skipped = /\[SKIPPED\] (.*)/.exec(said)
      const places = [...rest.matchAll(/^ +\d+\. (\S+:\d+)/gm)].map(([, place]) => place)
      if (verdict !== 'passed') inSuite[name] = `fail: ${[...new Set(places)].join(', ')}`
      else inSuite[name] = skipped === null ? 'pass' : `skip: ${skipped[1]}`
    }
  }
  return found
}

/** Of all tests but those that are not run at this block size. */
function expectedAt(blockSize: BlockSize): Outcomes {
  const expected: Outcomes = {}
  for (const [suite, tests] of Object.entries(expectations)) {
    const inSuite: Record<string, string> = {}
    for (const [test, outcome] of Object.entries(tests)) {
      const here = typeof outcome === 'string' ? outcome : outcome[blockSize]
      if (!here.startsWith('not run: ')) inSuite[test] = here
    }
    expected[suite] = inSuite
  }
  return expected
}

/** What to name to the suite, for each of its runs: all tests of a suite at once, unless that cannot be. */
function runsOf(suite: string, tests: readonly string[]): string[] {
  const all = Object.keys(expectations[suite] ?? {})
  if (!isolatedSuites.includes(suite) && tests.length === all.length) return [`ALL.${suite}`]
  return tests.map((test) => `ALL.${suite}.${test}`)
}

/** A server of its own, whose second path is a portal at another address. */
async function runSuites(blockSize: BlockSize, expected: Outcomes) {
  const secondPortal = `127.0.0.2:${await freePort()}`
  const target = await TargetProcess.start(undefined, ['--portal', secondPortal])
  const { lun } = await target.createPartition({
    directory: temporaryDirectory(),
    disks: 2,
    diskSize: '400M',
    chunk: '64K',
    array: 'array',
    partition: 'partition',
    size: '768M',
    blockSize,
  })
  const targetName = await target.targetName()
  const unit = { port: target.port, targetName, lun: lun ?? 0 }
  const paths = [target.portal, secondPortal].map(
    (portal) => `iscsi://${portal}/${targetName}/${lun}`,
  )
  let printed = ''
  // Each suite with sessions of its own: unit attentions that one leaves behind are not for the next.
  for (const [suite, tests] of Object.entries(expected)) {
    const isProtected = writeProtectedSuites.includes(suite)
    if (isProtected) await setWriteProtection(unit, true)
    for (const test of runsOf(suite, Object.keys(tests))) {
      const flags = ['--dataloss', '--allow-sanitize', '-t', test]
      const said = await run('iscsi-test-cu', [...flags, ...paths], { timeoutMs: 250_000 })
      printed += said.stdout
    }
    if (isProtected) await setWriteProtection(unit, false)
  }
  const { running } = target
  await target.stop()
  return { printed, running }
}

t.test('every test of every suite is accounted for', needs, async (t) => {
  const listed = await runOk('iscsi-test-cu', ['-l'])
  const tests = [...listed.matchAll(/^ALL\.(\w+\.\S+)$/gm)].map(([, test]) => test)
  const known = Object.entries(expectations).flatMap(([suite, expected]) =>
    Object.keys(expected).map((test) => `${suite}.${test}`),
  )
  t.ok(tests.length > 200, `${tests.length} tests`)
  t.strictSame(known.sort(), tests.sort())
})

for (const blockSize of blockSizes) {
  t.test(`each test ends as expected with block size ${blockSize}`, needs, async (t) => {
    const expected = expectedAt(blockSize)
    const { printed, running } = await runSuites(blockSize, expected)
    const found = outcomes(printed)
    t.strictSame(Object.keys(found).sort(), Object.keys(expected).sort())
    for (const [suite, tests] of Object.entries(expected)) t.strictSame(found[suite], tests, suite)
    t.equal(running, true)
  })
}
