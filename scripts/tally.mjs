/**
 * How many tests passed and failed. A test is a top-level test of a test file (`t.test(…)` or a bare
 * assertion), as tap counts them; a file that crashed, timed out or ran no test counts as one failed.
 * A step that is no tap run (build, types, lint) counts as one test.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { root, run } from './prerequisites.mjs'

/**
 * `notRun` counts skipped tests; `failures` has one line for each thing to look at.
 * @typedef {{ passed: number, failed: number, notRun: number, failures: string[] }} Tally
 */

/** @returns {Tally} */
export function emptyTally() {
  return { passed: 0, failed: 0, notRun: 0, failures: [] }
}

/**
 * @param {Tally} tally added to
 * @param {Tally} other
 */
export function add(tally, other) {
  tally.passed += other.passed
  tally.failed += other.failed
  tally.notRun += other.notRun
  tally.failures.push(...other.failures)
}

/**
 * Runs a step that either succeeds or fails, with its output shown.
 * @param {string} name
 * @param {string} program one of node_modules/.bin, or node
 * @param {readonly string[]} arguments_
 * @returns {Tally}
 */
export function runStep(name, program, arguments_) {
  console.log(`== ${name}`)
  const { status } = run(program === 'node' ? process.execPath : binary(program), arguments_)
  if (status === 0) return { ...emptyTally(), passed: 1 }
  return { ...emptyTally(), failed: 1, failures: [name] }
}

/**
 * Runs tap in one workspace, shows how each file goes and what failed in it, and counts.
 * @param {string} workspace folder, from the root
 * @param {readonly string[]} [files] only these test files
 * @returns {Promise<Tally>}
 */
export async function runTap(workspace, files = []) {
  console.log(`== tests of ${workspace}`)
  const folder = join(root, workspace)
  const results = join(folder, '.tap', 'test-results')
  rmSync(results, { recursive: true, force: true })
  const tap = spawn(binary('tap'), ['run', '--reporter=tap', ...files], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = new Promise((resolve) => tap.once('exit', resolve))
  const show = tapFilter()
  for await (const line of createInterface({ input: tap.stdout })) {
    if (show(line)) console.log(line)
  }
  const tally = tallyResults(results, workspace)
  if ((await exited) !== 0 && tally.failed === 0) {
    add(tally, { ...emptyTally(), failed: 1, failures: [`${workspace}: tap failed`] })
  }
  return tally
}

/** @param {string} workspace folder, from the root */
export function hasTests(workspace) {
  const folder = join(root, workspace, 'test')
  if (!existsSync(folder)) return false
  return readdirSync(folder, { recursive: true }).some((name) => `${name}`.endsWith('.test.ts'))
}

/**
 * The test files that do not take long, from the workspace's folder.
 * @param {string} workspace folder, from the root
 */
export function quickTests(workspace) {
  return readdirSync(join(root, workspace, 'test'), { recursive: true })
    .map((name) => join('test', `${name}`))
    .filter((name) => name.endsWith('.test.ts') && !name.endsWith('.long.test.ts'))
    .sort()
}

/** @param {string} name */
function binary(name) {
  return join(root, 'node_modules', '.bin', name)
}

/**
 * Of a TAP stream, what a reader wants to see: each file, each of its tests, and all about failures.
 * @returns {(line: string) => boolean}
 */
function tapFilter() {
  let inDiagnostic = false
  let failing = false
  return (line) => {
    const text = line.trimStart()
    const depth = (line.length - text.length) / 4
    if (inDiagnostic) {
      if (text === '...') inDiagnostic = false
      return failing
    }
    if (text === '---') {
      inDiagnostic = true
      return failing
    }
    failing = text.startsWith('not ok ')
    return failing || (text.startsWith('ok ') && depth <= 1) || text.startsWith('Bail out!')
  }
}

/**
 * @param {string} results the folder where tap has left the TAP of each test file
 * @param {string} workspace
 */
function tallyResults(results, workspace) {
  const tally = emptyTally()
  const names = existsSync(results) ? readdirSync(results, { recursive: true }) : []
  for (const name of names.map(String).sort()) {
    if (!name.endsWith('.tap')) continue
    const file = `${workspace}/${name.slice(0, -'.tap'.length)}`
    add(tally, tallyFile(readFileSync(join(results, name), 'utf8'), file))
  }
  if (names.length === 0) {
    add(tally, { ...emptyTally(), failed: 1, failures: [`${workspace}: no test ran`] })
  }
  return tally
}

/**
 * @param {string} text what one test file has written
 * @param {string} file
 */
function tallyFile(text, file) {
  const tally = emptyTally()
  let planned = false
  for (const line of text.split('\n')) {
    if (/^1\.\.\d+/.test(line)) planned = true
    const test = /^(not )?ok \d+ ?(.*)/.exec(line)
    if (test === null) continue
    const name = (test[2] ?? '').replace(/ # time=.*/, '')
    if (/ # (SKIP|TO{1}DO)/.test(line)) tally.notRun++
    else if (test[1] === undefined) tally.passed++
    else {
      tally.failed++
      tally.failures.push(`${file} ${name}`)
    }
  }
  if (!planned && tally.failed === 0) {
    tally.failed++
    tally.failures.push(`${file}: did not finish`)
  }
  return tally
}
