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
}
