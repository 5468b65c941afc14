import t from 'tap'
import { mergeTargets } from '../../src/cli/discover-command.ts'

t.test('what several portals tell is merged, target by target', async (t) => {
  const portal = (host: string) => ({ host, port: 3260, targetPortalGroupTag: 1 })
  const [one, two, three] = ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map(portal)
  if (one === undefined || two === undefined || three === undefined) throw new Error('no portals')
  t.strictSame(
    mergeTargets([
      { name: 'iqn.a', portals: [one, two] },
      { name: 'iqn.b', portals: [three] },
      { name: 'iqn.a', portals: [two, three] },
    ]),
    [
      { name: 'iqn.a', portals: [one, two, three] },
      { name: 'iqn.b', portals: [three] },
    ],
  )
  t.strictSame(mergeTargets([]), [])
})
