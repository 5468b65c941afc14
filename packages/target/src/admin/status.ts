/** The server as a whole. */
import Type from 'typebox'
import { Status } from './model.ts'
import { operation } from './operation.ts'

export const status = {
  status: operation({
    method: 'GET',
    path: '/api/v1/status',
    summary: 'Say what is served, where, and what needs attention',
    input: Type.Object({}, { additionalProperties: false }),
    output: Status,
    run: (target) => target.status(),
  }),
}
