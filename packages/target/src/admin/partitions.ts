/** Operations on partitions. */
import Type from 'typebox'
import { BlockSize, HostName, Name, Partition, SizeBytes } from './model.ts'
import { operation } from './operation.ts'

const closed = { additionalProperties: false } as const

export const partitions = {
  'partition list': operation({
    method: 'GET',
    path: '/api/v1/partitions',
    summary: 'List the partitions of the arrays that are available',
    input: Type.Object({}, closed),
    output: Type.Array(Partition),
    run: (target) => target.listPartitions(),
  }),
  'partition create': operation({
    method: 'POST',
    path: '/api/v1/partitions',
    summary: 'Cut a partition from an array, and grant it to a host if one is named',
    input: Type.Object(
      {
        array: Name,
        name: Name,
        sizeBytes: SizeBytes,
        blockSize: Type.Optional(BlockSize),
        host: Type.Optional(HostName),
      },
      closed,
    ),
    output: Partition,
    run: (target, partition) => target.createPartition(partition),
  }),
  'partition grow': operation({
    method: 'PATCH',
    path: '/api/v1/partitions/:array/:name',
    summary: 'Make a partition larger, while it is in use',
    input: Type.Object({ array: Name, name: Name, sizeBytes: SizeBytes }, closed),
    output: Partition,
    run: (target, { sizeBytes, ...key }) => target.growPartition(key, sizeBytes),
  }),
  'partition delete': operation({
    method: 'DELETE',
    path: '/api/v1/partitions/:array/:name',
    summary: 'Delete a partition and what is on it',
    input: Type.Object({ array: Name, name: Name }, closed),
    output: Type.Null(),
    run: (target, input) => target.deletePartition(input).then(() => null),
  }),
}
