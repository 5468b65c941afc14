/** Operations on grants: which host may use which partition. */
import Type from 'typebox'
import { Access, HostName, Lun, Name, Sharing, ShownGrant } from './model.ts'
import { operation } from './operation.ts'

const closed = { additionalProperties: false } as const

const key = { array: Name, partition: Name, host: HostName }
const settings = { access: Type.Optional(Access), sharing: Type.Optional(Sharing) }

export const grants = {
  'grant list': operation({
    method: 'GET',
    path: '/api/v1/grants',
    summary: 'List which host may use which partition, and as which LUN',
    input: Type.Object({}, closed),
    output: Type.Array(ShownGrant),
    run: (target) => target.listGrants(),
  }),
  'grant create': operation({
    method: 'POST',
    path: '/api/v1/grants',
    summary: 'Give a host a partition',
    input: Type.Object({ ...key, ...settings, lun: Type.Optional(Lun) }, closed),
    output: ShownGrant,
    run: (target, grant) => target.createGrant(grant),
  }),
  'grant set': operation({
    method: 'PATCH',
    path: '/api/v1/grants/:array/:partition/:host',
    summary: 'Set what a host may do with a partition, and whether others may have it too',
    input: Type.Object({ ...key, ...settings }, closed),
    output: ShownGrant,
    run: (target, { access, sharing, ...of }) =>
      target.setGrant(of, {
        ...(access !== undefined && { access }),
        ...(sharing !== undefined && { sharing }),
      }),
  }),
  'grant delete': operation({
    method: 'DELETE',
    path: '/api/v1/grants/:array/:partition/:host',
    summary: 'Take a partition away from a host, at once',
    input: Type.Object(key, closed),
    output: Type.Null(),
    run: (target, of) => target.deleteGrant(of).then(() => null),
  }),
}
