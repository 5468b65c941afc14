/** Operations on disks. A disk is known by its path, which does not fit in a URL's path: it goes in the query. */
import Type from 'typebox'
import { Disk, Path, SizeBytes } from './model.ts'
import { operation } from './operation.ts'

const closed = { additionalProperties: false } as const

export const disks = {
  'disk list': operation({
    method: 'GET',
    path: '/api/v1/disks',
    summary: 'List the disks the server owns',
    input: Type.Object({}, closed),
    output: Type.Array(Disk),
    run: (target) => target.listDisks(),
  }),
  'disk create': operation({
    method: 'POST',
    path: '/api/v1/disks/create',
    summary: 'Make a sparse disk file and add it',
    input: Type.Object({ path: Path, sizeBytes: SizeBytes }, closed),
    output: Disk,
    run: (target, input) => target.createDisk(input.path, input.sizeBytes),
  }),
  'disk add': operation({
    method: 'POST',
    path: '/api/v1/disks',
    summary: 'Add an existing file or block device',
    input: Type.Object({ path: Path }, closed),
    output: Disk,
    run: (target, input) => target.addDisk(input.path),
  }),
  'disk remove': operation({
    method: 'DELETE',
    path: '/api/v1/disks',
    summary: 'Forget a disk; its bytes stay as they are',
    input: Type.Object({ path: Path }, closed),
    output: Type.Null(),
    run: (target, input) => target.removeDisk(input.path).then(() => null),
  }),
  'disk spare': operation({
    method: 'POST',
    path: '/api/v1/disks/spare',
    summary: 'Say whether a disk takes the place of one that an array loses',
    input: Type.Object({ path: Path, spare: Type.Boolean() }, closed),
    output: Disk,
    run: (target, input) => target.setSpare(input.path, input.spare),
  }),
}
