/** Operations on sessions. */
import Type from 'typebox'
import { HostName, LoginFailures, Session } from './model.ts'
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
  'session failures': operation({
    method: 'GET',
    path: '/api/v1/login-failures',
    summary: 'List the addresses whose hosts have failed to authenticate lately',
    input: Type.Object({}, { additionalProperties: false }),
    output: Type.Array(LoginFailures),
    run: (target) => target.listLoginFailures(),
  }),
  'session end': operation({
    method: 'DELETE',
    path: '/api/v1/sessions/:host',
    summary: 'Ask a host, or all, to log out, and drop the sessions that have not soon after',
    input: Type.Object({ host: HostName }, { additionalProperties: false }),
    output: Type.Object({ sessionCount: Type.Integer({ minimum: 0 }) }),
    run: (target, { host }) => ({ sessionCount: target.endSessions(host) }),
  }),
}
