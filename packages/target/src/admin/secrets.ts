/** Operations on the secrets of CHAP. Secrets come in, and never go out. */
import Type from 'typebox'
import { HostName, ShownSecret } from './model.ts'
import { operation } from './operation.ts'

const closed = { additionalProperties: false } as const

const NewSecret = Type.Object(
  {
    host: HostName,
    user: Type.Union([Type.String({ minLength: 1, maxLength: 255 }), Type.Null()]),
    secret: Type.String({ writeOnly: true }),
    mutual: Type.Boolean(),
  },
  closed,
)

export const secrets = {
  'secret list': operation({
    method: 'GET',
    path: '/api/v1/secrets',
    summary: 'List the hosts that must authenticate, without their secrets',
    input: Type.Object({}, closed),
    output: Type.Array(ShownSecret),
    run: (target) => target.listSecrets(),
  }),
  'secret set': operation({
    method: 'POST',
    path: '/api/v1/secrets',
    summary: 'Set what a host authenticates with, or what the server authenticates to it with',
    input: NewSecret,
    output: ShownSecret,
    run: (target, secret) => target.setSecret(secret),
  }),
  'secret delete': operation({
    method: 'DELETE',
    path: '/api/v1/secrets/:host',
    summary: 'Forget the secrets of a host: it need not authenticate any more',
    input: Type.Object({ host: HostName }, closed),
    output: Type.Null(),
    run: (target, { host }) => target.deleteSecret(host).then(() => null),
  }),
}
