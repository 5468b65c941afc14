import {
  type AuthenticationFloor,
  authenticationFloors,
  chapAlgorithms,
} from '@platter/protocol/iscsi'
import t from 'tap'
import { type HostAuthentication, requirementOf } from '../src/authentication.ts'
import { Secrets } from '../src/secrets.ts'
import { StateStore } from '../src/state.ts'
import { stateDirectory } from './support/state-directory.ts'

const one = 'iqn.2024-01.org.example:one'
const both = 'iqn.2024-01.org.example:both'
const secret = (host: string, text: string, mutual = false) => ({
  host,
  user: null,
  secret: text,
  mutual,
})

t.test('a host must show what it has a secret for, and never less than the floor', async (t) => {
  const secrets = new Secrets(await StateStore.open(await stateDirectory(t)))
  await secrets.set(secret(one, 'secret of one'))
  await secrets.set(secret(both, 'secret of both'))
  await secrets.set(secret(both, 'secret of the server', true))
  const floors = { none: 'none', chap: 'chap', 'chap-mutual': 'chap-mutual' } as const
  const wanted = {
    'iqn.2024-01.org.example:none': floors,
    [one]: { ...floors, none: 'chap' },
    [both]: { none: 'chap-mutual', chap: 'chap-mutual', 'chap-mutual': 'chap-mutual' },
  } as const
  for (const [host, byFloor] of Object.entries(wanted)) {
    for (const floor of authenticationFloors) {
      const requirement = requirementOf(host, { floor, chapAlgorithms }, {}, secrets)
      t.equal(requirement.floor, byFloor[floor], `${host} with ${floor}`)
      t.same(requirement.credentials, secrets.credentialsOf(host))
    }
  }
  const strong = requirementOf(one, { floor: 'none', chapAlgorithms: [8] }, {}, secrets)
  t.same(strong.chapAlgorithms, [8])
})

t.test('a secret for all hosts makes all authenticate', async (t) => {
  const secrets = new Secrets(await StateStore.open(await stateDirectory(t)))
  await secrets.set(secret('*', 'secret of all'))
  const { floor, credentials } = requirementOf(one, { floor: 'none', chapAlgorithms }, {}, secrets)
  t.equal(floor, 'chap')
  t.equal(credentials?.host.user, one)
})

t.test('what is set for a host raises its floor, and only plain words lower it', async (t) => {
  const secrets = new Secrets(await StateStore.open(await stateDirectory(t)))
  const floorOf = (name: string, floor: AuthenticationFloor, host: HostAuthentication) =>
    requirementOf(name, { floor, chapAlgorithms }, host, secrets).floor
  const open = { allowUnauthenticated: true } as const
  t.equal(floorOf(one, 'none', { minAuth: 'chap' }), 'chap')
  t.equal(floorOf(one, 'chap', { minAuth: 'chap-mutual' }), 'chap-mutual')
  t.equal(floorOf(one, 'chap-mutual', { minAuth: 'chap' }), 'chap-mutual')
  t.equal(floorOf(one, 'chap-mutual', open), 'none')
  await secrets.set(secret('*', 'secret of all'))
  t.equal(floorOf(one, 'chap', open), 'none', 'what names the host counts before what is for all')
  t.equal(floorOf(both, 'chap', {}), 'chap', 'and for no other host')
  await secrets.set(secret(one, 'secret of one'))
  t.equal(floorOf(one, 'chap-mutual', open), 'chap', 'a secret of its own it must show')
})
