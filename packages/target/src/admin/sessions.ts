/** Operations on sessions. */
import Type from 'typebox'
import { Session } from './model.ts'
import { operation } from './operation.ts'

export const sessions = {
  'session list': operation({
    method: 'GET',
    path: '/api/v1/sessions',
    summary: 'List who is logged in, and over which connections',
    input: Type.Object({}, { additionalProperties: false }),
    output: Type.Array(Session),
    run: (target) => target.listSessions(),
  }),
}
