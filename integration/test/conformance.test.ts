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
import {
  type BlockSize,
  blockSizes,
  expectations,
  onePathSuites,
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
    const inSuite: Record<string, string> = {}
    for (const test of tests) {
      const [, name = '', said = '', verdict = '', rest = ''] =
        /^(\S+) \.\.\.([\s\S]*?)(passed|(?<!\[)FAILED)([\s\S]*)/.exec(test) ?? []
      const skipped = /\[SKIPPED\] (.*)/.exec(said)
      const places = [...rest.matchAll(/^ +\d+\. (\S+:\d+)/gm)].map(([, place]) => place)
      if (verdict !== 'passed') inSuite[name] = `fail: ${[...new Set(places)].join(', ')}`
      else inSuite[name] = skipped === null ? 'pass' : `skip: ${skipped[1]}`
    }
    found[heading.trim()] = inSuite
  }
  return found
}

function expectedAt(blockSize: BlockSize): Outcomes {
  const expected: Outcomes = {}
  for (const [suite, tests] of Object.entries(expectations)) {
    const inSuite: Record<string, string> = {}
    for (const [test, outcome] of Object.entries(tests)) {
      inSuite[test] = typeof outcome === 'string' ? outcome : outcome[blockSize]
    }
    expected[suite] = inSuite
  }
  return expected
}

/** A server of its own, whose second path is a portal at another address. */
async function runSuites(blockSize: BlockSize) {
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
  const name = `${await target.targetName()}/${lun}`
  const urls = [target.portal, secondPortal].map((portal) => `iscsi://${portal}/${name}`)
  let printed = ''
  // Each suite with sessions of its own: unit attentions that one leaves behind are not for the next.
  for (const suite of Object.keys(expectations)) {
    const flags = ['--dataloss', '--allow-sanitize', '-t', `ALL.${suite}`]
    const paths = onePathSuites.includes(suite) ? urls.slice(0, 1) : urls
    const said = await run('iscsi-test-cu', [...flags, ...paths], { timeoutMs: 250_000 })
    printed += said.stdout
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
    const { printed, running } = await runSuites(blockSize)
    const found = outcomes(printed)
    const expected = expectedAt(blockSize)
    t.strictSame(Object.keys(found).sort(), Object.keys(expected).sort())
    for (const [suite, tests] of Object.entries(expected)) t.strictSame(found[suite], tests, suite)
    t.equal(running, true)
  })
}
