import t from 'tap'
import { type ConnectionEvent, nextState, transitions } from '../../src/session/connection-state.ts'

t.test('every row leads to a state that has one, and FREE can be reached from it', async (t) => {
  const rows = transitions as Record<string, Record<string, string>>
  for (const state of Object.keys(rows)) {
    const reached = new Set([state])
    for (const from of reached) for (const to of Object.values(rows[from] ?? {})) reached.add(to)
    for (const each of reached) t.ok(rows[each], `${each} has a row`)
    t.ok(reached.has('FREE'), `${state} can end`)
  }
})

t.test('the table can neither be changed nor left', async (t) => {
  t.ok(Object.isFrozen(transitions))
  t.ok(Object.values(transitions).every((row) => Object.isFrozen(row)))
  t.equal(nextState('LOGGED_IN', 'logoutStarted'), 'IN_LOGOUT')
  t.throws(() => nextState('FREE', 'logoutFinished'), /no transition from FREE on logoutFinished/)
  t.throws(() => nextState('IN_LOGIN', 'logoutStarted' satisfies ConnectionEvent))
})
