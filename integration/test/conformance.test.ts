/** libiscsi's conformance suite against platterd, held to what conformance-expectations.ts says of each test. */
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { run, runOk } from '../lib/command.ts'
import { requires } from '../lib/requires.ts'
import { TargetProcess } from '../lib/target-process.ts'
import { expectations, wantedSuites } from './conformance-expectations.ts'

t.teardown(cleanUp)
const needs = requires('clients')

/**
 * Of each test in what iscsi-test-cu printed: pass, `skip: reason`, or `fail: what it says`. What comes
 * after a verdict is about the suite's own setting up, not about the test.
 */
function outcomes(printed: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const part of printed.split(/^ +Test: /m).slice(1)) {
    const [, name = '', said = '', verdict = '', rest = ''] =
      /^(\S+) \.\.\.([\s\S]*?)(passed|(?<!\[)FAILED)([\s\S]*)/.exec(part) ?? []
    const skipped = /\[SKIPPED\] (.*)/.exec(said)
    if (verdict !== 'passed') found[name] = `fail: ${said}${rest.split('\n\n')[0]}`
    else found[name] = skipped === null ? 'pass' : `skip: ${skipped[1]}`
  }
  return found
}

t.test('every suite of the wanted families is accounted for', needs, async (t) => {
  const listed = await runOk('iscsi-test-cu', ['-l'])
  const suites = [...listed.matchAll(/^ALL\.(\w+)$/gm)].map(([, suite]) => suite ?? '')
  const wanted = suites.filter((suite) => wantedSuites.test(suite))
  t.strictSame(Object.keys(expectations).sort(), wanted.sort())
})

t.test('each test passes, or skips itself for the reason we expect', needs, async (t) => {
  const target = await TargetProcess.start()
  const { lun } = await target.createPartition({
    directory: temporaryDirectory(),
    disks: 2,
    diskSize: '256M',
    chunk: '64K',
    array: 'array',
    partition: 'partition',
    // Sanitize.Reset looks after four seconds whether its SANITIZE, at 64 MiB/s, goes on.
    size: '480M',
    blockSize: '512',
  })
  const url = await target.url(lun ?? -1)
  for (const [suite, expected] of Object.entries(expectations)) {
    const parameters = ['-d', '--allow-sanitize', '-t', `ALL.${suite}`, url]
    const { stdout, stderr } = await run('iscsi-test-cu', parameters, { timeoutMs: 400_000 })
    const found = outcomes(stdout)
    t.strictSame(found, expected, suite, { said: stdout + stderr })
  }
  t.equal(target.running, true)
})
