/** sqlite databases under load: several programs that write to one at the same time, each transaction durable. */
import { join } from 'node:path'
import { runOk } from './command.ts'

export const journalModes = ['delete', 'wal'] as const
export type JournalMode = (typeof journalModes)[number]

const writers = 3
const transactions = 40
/** What a row carries besides its numbers, in bytes. */
const payload = 1000

/** Makes a database in the directory and has it written to; all its transactions are there afterwards. */
export async function fillDatabase(directory: string, mode: JournalMode): Promise<void> {
  const file = fileOf(directory, mode)
  const table = 'CREATE TABLE entries (writer INTEGER, number INTEGER, payload BLOB)'
  await sqlite(file, `PRAGMA journal_mode = ${mode}; ${table}; CREATE INDEX i ON entries (number);`)
  const working = Array.from({ length: writers }, (_, writer) => {
    const one = (number: number) =>
      `BEGIN IMMEDIATE; INSERT INTO entries VALUES (${writer}, ${number}, randomblob(${payload})); COMMIT;`
    return sqlite(file, Array.from({ length: transactions }, (_, number) => one(number)).join('\n'))
  })
  await Promise.all(working)
  await checkDatabase(directory, mode)
}

/** An Error if the database is not sound, or not all of it is there. */
export async function checkDatabase(directory: string, mode: JournalMode): Promise<void> {
  const counts = 'SELECT count(*), sum(number), sum(length(payload)) FROM entries'
  const answer = await sqlite(fileOf(directory, mode), `PRAGMA integrity_check; ${counts};`)
  const rows = writers * transactions
  const sum = (writers * transactions * (transactions - 1)) / 2
  const wanted = `ok\n${rows}|${sum}|${rows * payload}\n`
  if (answer !== wanted) throw new Error(`${mode}: sqlite says ${answer}, wanted ${wanted}`)
}

function fileOf(directory: string, mode: JournalMode): string {
  return join(directory, `${mode}.db`)
}

function sqlite(file: string, script: string): Promise<string> {
  return runOk('sqlite3', ['-bail', '-cmd', '.timeout 60000', file, script])
}
