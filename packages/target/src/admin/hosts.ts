/** Operations on hosts. */
import Type from 'typebox'
import { Host, HostName } from './model.ts'
import { operation } from './operation.ts'

const closed = { additionalProperties: false } as const

const settings = {
  maxConnections: Host.properties.maxConnections,
  maxSessions: Host.properties.maxSessions,
  dataPorts: Host.properties.dataPorts,
  networks: Host.properties.networks,
  minAuth: Host.properties.minAuth,
  allowUnauthenticated: Host.properties.allowUnauthenticated,
}

export const hosts = {
  'host list': operation({
    method: 'GET',
    path: '/api/v1/hosts',
    summary: 'List the hosts that are known by name',
    input: Type.Object({}, closed),
    output: Type.Array(Host),
    run: (target) => target.listHosts(),
  }),
  'host create': operation({
    method: 'POST',
    path: '/api/v1/hosts',
    summary: 'Make a host known, so that it can be granted partitions',
    input: Type.Object({ name: HostName, ...settings }, closed),
    output: Host,
    run: (target, host) => target.createHost(host),
  }),
  'host set': operation({
    method: 'PATCH',
    path: '/api/v1/hosts/:name',
    summary:
      'Set what a host must show, how many connections it may have, and where it may come from',
    input: Type.Object({ name: HostName, ...settings }, closed),
    output: Host,
    run: (target, { name, ...change }) => target.setHost(name, change),
  }),
  'host delete': operation({
    method: 'DELETE',
    path: '/api/v1/hosts/:name',
    summary: 'Forget a host and its grants, and end its sessions',
    input: Type.Object({ name: HostName }, closed),
    output: Type.Null(),
    run: (target, { name }) => target.deleteHost(name).then(() => null),
  }),
}
