/**
 * Reads the requirement tables of docs/: Markdown tables with a column `Proof`, which names tests as
 * `path/of.test.ts` › title of the test, and a column `Source`, which names files. Also reads the titles
 * out of test files, so that the two can be held against each other.
 */

export interface Proof {
  /** Path of the test file from the root of the repository. */
  readonly path: string
  readonly title: string
}

export interface RequirementRow {
  /** Number of the row's line in its document, from 1 on. */
  readonly line: number
  /** The heading that the table stands under. */
  readonly heading: string
  /** The first cell: a section, the number of a test, the name of a command. */
  readonly name: string
  /** What the column `Met` says; a table without one claims that all its rows are met. */
  readonly met: string
  readonly sources: readonly string[]
  readonly proofs: readonly Proof[]
}

const proofPattern = /^`([^`]+)` › (.+)$/
const testPattern =
  /^ *(?:await )?t\.test\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`([^`$]*)`)/gm

/** The rows of all tables of a document that have a column `Proof`; throws for a cell it can't read. */
export function parseRequirementTables(markdown: string): RequirementRow[] {
  const rows: RequirementRow[] = []
  let heading = ''
  let columns: string[] = []
  for (const [index, text] of markdown.split('\n').entries()) {
    if (text.startsWith('#')) heading = text.replace(/^#+ */, '')
    if (!text.startsWith('|')) columns = []
    else if (columns.length === 0) columns = cellsOf(text)
    else if (columns.includes('Proof') && !/^[|: -]+$/.test(text)) {
      rows.push(parseRow(columns, cellsOf(text), heading, index + 1))
    }
  }
  return rows
}

function parseRow(
  columns: readonly string[],
  cells: readonly string[],
  heading: string,
  line: number,
): RequirementRow {
  const cell = (name: string) => cells[columns.indexOf(name)] ?? ''
  if (cells.length !== columns.length) {
    throw new Error(`line ${line}: ${cells.length} cells, wanted ${columns.length}`)
  }
  const proofs = parts(cell('Proof')).map((part) => {
    const [, path, title] = proofPattern.exec(part) ?? []
    if (path === undefined || title === undefined) {
      throw new Error(`line ${line}: a proof reads ${part}, wanted \`path\` › title`)
    }
    return { path, title }
  })
  const sources = parts(cell('Source')).map((part) => part.replaceAll('`', ''))
  const met = columns.includes('Met') ? cell('Met') : 'yes'
  return { line, heading, name: cells[0] ?? '', met, sources, proofs }
}

function cellsOf(line: string): string[] {
  const cells = line.split(/(?<!\\)\|/).slice(1, -1)
  return cells.map((cell) => cell.trim().replaceAll('\\|', '|'))
}

function parts(cell: string): string[] {
  return cell === '' ? [] : cell.split('<br>').map((part) => part.trim())
}

/** The titles that a test file gives its tests and subtests as literals. */
export function testTitles(source: string): string[] {
  const titles = [...source.matchAll(testPattern)]
  return titles.map(([, ...quoted]) => quoted.join('').replaceAll(/\\(.)/g, '$1'))
}
