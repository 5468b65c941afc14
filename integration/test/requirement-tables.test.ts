/**
 * Holds the requirement tables of docs/ and the tests against each other: what a table calls met has a
 * source file and a test of that very title, and the tests of the UNH plan are all in their table.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  parseRequirementTables,
  type RequirementRow,
  testTitles,
} from '../lib/requirement-table.ts'
import { unhChapTests } from './unh-chap-plan.ts'
import { unhFullFeatureTests } from './unh-ffp-plan.ts'
import { unhLoginTests } from './unh-login-plan.ts'

const root = join(import.meta.dirname, '..', '..')
const rfcDocument = 'docs/rfc7143.md'

/** Plans of the UNH-IOL: the heading of each, how titles of its tests begin, the tests that it has. */
const plans = [
  {
    heading: 'The UNH-IOL full-feature-phase plan',
    prefix: 'UNH FFP',
    tests: unhFullFeatureTests,
  },
  { heading: 'The UNH-IOL login plan', prefix: 'UNH login', tests: unhLoginTests },
  { heading: 'The UNH-IOL CHAP plan', prefix: 'UNH CHAP', tests: unhChapTests },
]

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

function filesIn(folder: string, ending: string): string[] {
  const names = readdirSync(join(root, folder)).filter((name) => name.endsWith(ending))
  return names.map((name) => `${folder}/${name}`)
}

const rows = new Map<string, RequirementRow[]>()
for (const path of filesIn('docs', '.md')) rows.set(path, parseRequirementTables(read(path)))
const rfcRows = rows.get(rfcDocument) ?? []

const titles = new Map<string, string[]>()
function titlesIn(path: string): string[] {
  const known = titles.get(path)
  if (known !== undefined) return known
  const found = existsSync(join(root, path)) ? testTitles(read(path)) : []
  titles.set(path, found)
  return found
}

/** What is wrong with a row, in words. */
function complaintsAbout({ met, sources, proofs }: RequirementRow): string[] {
  const complaints: string[] = []
  if (!/^(?:yes|(?:yes|no|partly): .+)$/.test(met)) complaints.push(`Met is "${met}"`)
  if (met.startsWith('yes') && proofs.length === 0) complaints.push('no proof')
  if (met.startsWith('yes') && sources.length === 0) complaints.push('no source')
  for (const source of sources) {
    if (!existsSync(join(root, source))) complaints.push(`no file ${source}`)
  }
  for (const { path, title } of proofs) {
    if (!titlesIn(path).includes(title)) complaints.push(`no test "${title}" in ${path}`)
  }
  return complaints
}

t.test('what a table calls met has its source and its proof, and every proof exists', async (t) => {
  for (const [path, found] of rows) {
    for (const row of found) {
      t.strictSame(complaintsAbout(row), [], `${path}:${row.line} ${row.name}`)
    }
  }
  t.ok(rfcRows.length > unhFullFeatureTests.length, `${rfcDocument} has rows`)
})

t.test('every test of a UNH plan has its row, with a test of its number as proof', async (t) => {
  for (const { heading, prefix, tests } of plans) {
    const planned = rfcRows.filter((row) => row.heading === heading)
    t.strictSame(
      planned.map(({ name }) => name),
      tests,
      heading,
    )
    for (const { name, met, proofs } of planned) {
      if (!met.startsWith('yes')) continue
      const own = proofs.some(({ title }) => title.startsWith(`${prefix} ${name}: `))
      t.ok(own, `${name}: a test titled ${prefix} ${name}: …`)
    }
  }
})

t.test('every test that bears a number of a UNH plan is in its table', async (t) => {
  const proven = new Set(rfcRows.flatMap(({ proofs }) => proofs.map(({ title }) => title)))
  const tests = filesIn('integration/test', '.test.ts').flatMap(titlesIn)
  for (const title of tests.filter((title) => title.startsWith('UNH '))) {
    t.ok(proven.has(title), title)
  }
})

t.test('a table is read cell by cell, and a bad row is an error', async (t) => {
  const table = (row: string) =>
    `# Head\n\n| A | Met | Source | Proof |\n|---|---|---|---|\n${row}\n`
  t.strictSame(
    parseRequirementTables(table('| a\\|b | no: why | `x.ts`<br>`y.ts` | `z` › it is |')),
    [
      {
        line: 5,
        heading: 'Head',
        name: 'a|b',
        met: 'no: why',
        sources: ['x.ts', 'y.ts'],
        proofs: [{ path: 'z', title: 'it is' }],
      },
    ],
  )
  t.throws(
    () => parseRequirementTables(table('| a | yes | `x.ts` | z |')),
    /line 5: a proof reads z/,
  )
  t.throws(() => parseRequirementTables(table('| a | yes | |')), /line 5: 3 cells, wanted 4/)
  t.strictSame(parseRequirementTables('| A | B |\n|---|---|\n| a | b |\n'), [], 'other tables')
})

t.test('titles are read out of test files as they are written', async (t) => {
  const source = [
    "t.test('one', async (t) => {",
    "  t.test(\n    'it\\'s two', async () => {})",
    '  await t.test("three", async () => {})',
    '  // t.test("left out")',
    '  t.test(`$' + '{name}`, async () => {})',
  ]
  t.strictSame(testTitles(source.join('\n')), ['one', "it's two", 'three'])
})
