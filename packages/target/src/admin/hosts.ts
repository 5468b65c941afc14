/** Operations on hosts. */
import Type from 'typebox'
import { Host, HostName } from './model.ts'
import { operation } from './operation.ts'

const closed = { additionalProperties: false } as const

export const hosts = {
  'host list': operation({
    method: 'GET',
    path: '/api/v1/hosts',
    summary: 'List the hosts for which something has been set',
    input: Type.Object({}, closed),
    output: Type.Array(Host),
    run: (target) => target.listHosts(),
  }),
  'host set': operation({
    method: 'POST',
    path: '/api/v1/hosts',
    summary: 'Set how many connections a session of the host may have',
    input: Type.Object({ name: HostName, maxConnections: Host.properties.maxConnections }, closed),
    output: Host,
    run: (target, host) => target.setHost(host),
  }),
  'host delete': operation({
    method: 'DELETE',
    path: '/api/v1/hosts/:name',
    summary: 'Treat the host as any other again',
    input: Type.Object({ name: HostName }, closed),
    output: Type.Null(),
    run: (target, { name }) => target.deleteHost(name).then(() => null),
  }),
}
