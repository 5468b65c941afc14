import t from 'tap'
import { createLog } from '../src/log.ts'

function collect(level: 'error' | 'warn' | 'info' | 'debug', json: boolean) {
  const lines: string[] = []
  const now = () => new Date(0)
  const log = createLog({ level, json, now, write: (line) => lines.push(line) })
  return { log, lines }
}

t.test('events of the level and worse are written, one line each', async (t) => {
  const { log, lines } = collect('warn', false)
  log.error('a', { portal: '[::1]:3260', reason: 'two words\nand a line' })
  log.warn('b', { count: 3, none: null })
  log.info('c')
  log.debug('d')
  t.same(lines, [
    '1970-01-01T00:00:00.000Z error a portal=[::1]:3260 reason="two words\\nand a line"\n',
    '1970-01-01T00:00:00.000Z warn  b count=3 none=null\n',
  ])
})

t.test('as JSON, every line is an object with the fields beside the message', async (t) => {
  const { log, lines } = collect('debug', true)
  log.debug('x', { port: 1 })
  t.same(
    lines.map((line) => JSON.parse(line)),
    [{ time: '1970-01-01T00:00:00.000Z', level: 'debug', message: 'x', port: 1 }],
  )
})
