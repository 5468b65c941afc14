/** Operations on redirects. */
import Type from 'typebox'
import { HostName, Redirect } from './model.ts'
import { operation } from './operation.ts'

const closed = { additionalProperties: false } as const

export const redirects = {
  'redirect list': operation({
    method: 'GET',
    path: '/api/v1/redirects',
    summary: 'List which hosts are sent elsewhere when they log in',
    input: Type.Object({}, closed),
    output: Type.Array(Redirect),
    run: (target) => target.listRedirects(),
  }),
  'redirect create': operation({
    method: 'POST',
    path: '/api/v1/redirects',
    summary: 'Send the logins of a host, or of all, to another address',
    input: Type.Object(
      { host: HostName, address: Type.String(), permanent: Type.Boolean() },
      closed,
    ),
    output: Redirect,
    run: (target, redirect) => target.createRedirect(redirect),
  }),
  'redirect delete': operation({
    method: 'DELETE',
    path: '/api/v1/redirects/:host',
    summary: 'Let the host log in here again',
    input: Type.Object({ host: HostName }, closed),
    output: Type.Null(),
    run: (target, { host }) => target.deleteRedirect(host).then(() => null),
  }),
}
