/** Operations on arrays. */
import Type from 'typebox'
import { ArrayInfo, Name, Path, RaidLevel, SizeBytes } from './model.ts'
import { operation } from './operation.ts'

const closed = { additionalProperties: false } as const

export const arrays = {
  'array list': operation({
    method: 'GET',
    path: '/api/v1/arrays',
    summary: 'List the arrays and whether they are available',
    input: Type.Object({}, closed),
    output: Type.Array(ArrayInfo),
    run: (target) => target.listArrays(),
  }),
  'array create': operation({
    method: 'POST',
    path: '/api/v1/arrays',
    summary: 'Make an array of free disks',
    input: Type.Object(
      {
        name: Name,
        level: RaidLevel,
        chunkSizeBytes: SizeBytes,
        checksums: Type.Optional(Type.Boolean()),
        disks: Type.Array(Path, {
          minItems: 1,
          maxItems: 256,
          description: '1 to 256 disk paths',
        }),
      },
      closed,
    ),
    output: ArrayInfo,
    run: (target, input) => target.createArray(input),
  }),
  'array delete': operation({
    method: 'DELETE',
    path: '/api/v1/arrays/:name',
    summary: 'Take an array without partitions apart',
    input: Type.Object({ name: Name }, closed),
    output: Type.Null(),
    run: (target, input) => target.deleteArray(input.name).then(() => null),
  }),
  'array fail': operation({
    method: 'POST',
    path: '/api/v1/arrays/:name/fail',
    summary: 'Take a disk out of an array that can do without it',
    input: Type.Object({ name: Name, disk: Path }, closed),
    output: ArrayInfo,
    run: (target, { name, disk }) => target.failDisk({ array: name, disk }),
  }),
  'array replace': operation({
    method: 'POST',
    path: '/api/v1/arrays/:name/replace',
    summary: 'Put a free disk in the place of an absent one, or of another, and rebuild it',
    input: Type.Object({ name: Name, disk: Path, replaced: Type.Optional(Path) }, closed),
    output: ArrayInfo,
    run: (target, { name, disk, replaced }) => target.replaceDisk({ array: name, disk }, replaced),
  }),
  'array re-add': operation({
    method: 'POST',
    path: '/api/v1/arrays/:name/re-add',
    summary: 'Take a disk back that was taken out, and copy what it lacks',
    input: Type.Object({ name: Name, disk: Path }, closed),
    output: ArrayInfo,
    run: (target, { name, disk }) => target.reAddDisk({ array: name, disk }),
  }),
  'array scrub': operation({
    method: 'POST',
    path: '/api/v1/arrays/:name/scrub',
    summary: 'Begin to compare all copies, and mend what is wrong',
    input: Type.Object({ name: Name }, closed),
    output: ArrayInfo,
    run: (target, { name }) => target.startScrub(name),
  }),
  'array scrub-stop': operation({
    method: 'DELETE',
    path: '/api/v1/arrays/:name/scrub',
    summary: 'End a scrub before it has seen everything',
    input: Type.Object({ name: Name }, closed),
    output: ArrayInfo,
    run: (target, { name }) => target.stopScrub(name),
  }),
}
