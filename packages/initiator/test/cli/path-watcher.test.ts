import t from 'tap'
import { PathWatcher } from '../../src/cli/path-watcher.ts'

t.test('what happens to a path is told once, and what becomes of its I/O', async (t) => {
  const said: string[] = []
  const watcher = new PathWatcher((text) => said.push(text))
  const path = '192.0.2.7:3260'
  const error = new Error('no answer')
  watcher.tell({ type: 'lost', path, alive: 2, error })
  for (let count = 0; count < 3; count++) watcher.tell({ type: 'refused', path, alive: 0, error })
  watcher.tell({ type: 'restored', path, alive: 3 })
  watcher.tell({ type: 'restored', path, alive: 4 })
  t.strictSame(said, [
    `${path}: lost: no answer; I/O goes on over 2 others`,
    `${path}: refused: no answer; trying again`,
    `${path}: restored`,
  ])
})
