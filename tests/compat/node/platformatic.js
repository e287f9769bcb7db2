// @platformatic/kafka: the newer client for Node.

import { setTimeout as pause } from 'node:timers/promises'
import { Admin, Consumer, MessagesStreamModes, Producer } from '@platformatic/kafka'
import {
  READ_FROM_MS, READ_PARTITIONS, READ_RECORDS, READ_TOPIC, check, checkAllRead, checkEqual, eventually, key, numbers, run,
  say, untilToldToStop, value
} from './scenarios.js'

const TOPIC = 2

const base = brokers => ({ clientId: 'compat', bootstrapBrokers: brokers, timeout: 15_000, retries: 30, retryDelay: 200 })
const bytes = text => text === null ? undefined : Buffer.from(text)

async function closing (it, use) {
  try {
    return await use(it)
  } finally {
    await it.close()
  }
}

const withProducer = (brokers, settings, use) => closing(new Producer({ ...base(brokers), ...settings }), use)
const withAdmin = (brokers, use) => closing(new Admin(base(brokers)), use)

const produce = (topic, settings) => brokers => withProducer(brokers, settings, producer => producer.send({
  messages: numbers.map(n => ({ topic, partition: 0, key: bytes(key(n)), value: bytes(value(n)) }))
}))

const nulls = brokers => withProducer(brokers, {}, producer => producer.send({
  messages: [
    { topic: 'nulls', partition: 0, key: bytes('k'), value: bytes('v'), headers: new Map([['a', '2'], ['empty', '']].map(it => it.map(bytes))) },
    { topic: 'nulls', partition: 0, value: bytes('v') },
    { topic: 'nulls', partition: 0, key: bytes('k') }
  ]
}))

const topics = brokers => withAdmin(brokers, async admin => {
  const configs = [{ name: 'retention.ms', value: '12345' }]
  await admin.createTopics({ topics: ['left'], partitions: 3, replicas: 2, configs })
  await admin.createTopics({ topics: ['placed'], partitions: -1, replicas: -1, assignments: [{ partition: 0, brokers: [1, 2] }, { partition: 1, brokers: [3, 1] }] })
  await admin.createTopics({ topics: ['gone'], partitions: 1, replicas: 1 })
  const again = await admin.createTopics({ topics: ['left'], partitions: 3, replicas: 2 }).then(() => null, error => error)
  check(JSON.stringify(again, Object.getOwnPropertyNames(again)).includes('TOPIC_ALREADY_EXISTS') || again?.errors?.length > 0, `creating again: ${again}`)
  await admin.createPartitions({ topics: [{ name: 'left', count: 5, assignments: null }] })
  await admin.deleteTopics({ topics: ['gone'] })
  await eventually('a topic has 5 partitions', async () =>
    (await admin.metadata({ topics: ['left'], forceUpdate: true })).topics.get('left').partitionsCount === 5)
  await eventually('a deleted topic is not listed', async () => !(await admin.listTopics()).includes('gone'))
})

const configs = brokers => withAdmin(brokers, async admin => {
  await admin.createTopics({ topics: ['configured'], partitions: 1, replicas: 1 })
  const change = { name: 'segment.bytes', configOperation: 0, value: '2097152' }
  await admin.incrementalAlterConfigs({ resources: [{ resourceType: TOPIC, resourceName: 'configured', configs: [change] }] })
  await eventually('segment.bytes is the topic\'s own', async () => {
    const asked = { resources: [{ resourceType: TOPIC, resourceName: 'configured', configurationKeys: ['segment.bytes'] }], includeSynonyms: true, includeDocumentation: true }
    const [found] = await admin.describeConfigs(asked)
    const entry = found.configs.find(it => it.name === 'segment.bytes')
    return entry.value === '2097152' && entry.configSource === 1 && entry.synonyms.length > 1
  })
})

const records = brokers => withAdmin(brokers, async admin => {
  const [deleted] = await admin.deleteRecords({ topics: [{ name: 'records', partitions: [{ partition: 0, offset: 30n }] }] })
  checkEqual(deleted.partitions[0].lowWatermark, 30, 'low watermark')
})

const timestamps = brokers => withAdmin(brokers, async admin => {
  for (const [timestamp, wanted] of [[-1n, 100], [-2n, 0], [BigInt(READ_FROM_MS + 40_000), 40]]) {
    const asked = { topics: [{ name: READ_TOPIC, partitions: [{ partitionIndex: 0, timestamp }] }] }
    const [found] = await admin.listOffsets(asked)
    checkEqual(found.partitions[0].offset, wanted, `offset of ${timestamp}`)
  }
})

const cluster = brokers => withAdmin(brokers, async admin => {
  const found = await admin.metadata({ topics: [] })
  checkEqual([...found.brokers.keys()].sort(), [1, 2, 3], 'brokers')
  check(found.controllerId > 0 && found.id, 'controller and cluster')
})

const logDirs = brokers => withAdmin(brokers, async admin => {
  const found = await admin.describeLogDirs({ topics: [{ name: READ_TOPIC, partitions: [0, 1, 2] }] })
  checkEqual(found.map(it => it.broker).sort(), [1, 2, 3], 'brokers')
  check(found.every(it => it.results[0].topics.length === 1), 'replicas in the directories')
})

const quotas = brokers => withAdmin(brokers, async admin => {
  const entities = [{ entityType: 'client-id', entityName: 'quoted' }]
  await admin.alterClientQuotas({ entries: [{ entities, ops: [{ key: 'producer_byte_rate', value: 1e6, remove: false }] }] })
  await eventually('a quota is described as it was set', async () => {
    const found = await admin.describeClientQuotas({ components: [{ entityType: 'client-id', matchType: 0, match: 'quoted' }], strict: true })
    return found.length === 1 && found[0].values[0].value === 1e6
  })
})

async function join (brokers, groupId, { take = () => {}, topics = [READ_TOPIC], ...settings } = {}) {
  const consumer = new Consumer({ ...base(brokers), groupId, sessionTimeout: 6000, heartbeatInterval: 500, rebalanceTimeout: 10_000, autocommit: false, maxWaitTime: 200, ...settings })
  const stream = await consumer.consume({ topics, mode: MessagesStreamModes.COMMITTED, fallbackMode: 'earliest' })
  stream.on('data', take)
  const close = async () => {
    // Closed by force, the client at times ends the process with an error of its own.
    await stream.close()
    await consumer.close()
  }
  return { consumer, stream, close, owned: () => (consumer.assignments ?? []).flatMap(it => it.partitions) }
}

async function reading (brokers, groupId, wanted, settings = {}) {
  const found = []
  const member = await join(brokers, groupId, { take: it => { if (found.length < wanted) found.push(it) }, ...settings })
  await eventually(`${wanted} records come`, () => found.length === wanted)
  return { found, member }
}

const assign = (group, settings) => async brokers => {
  const { found, member } = await reading(brokers, group, READ_PARTITIONS * READ_RECORDS, settings)
  checkAllRead(found)
  await member.close()
}

async function seek (brokers) {
  for (const offset of [90n, 50n, 10n]) {
    const consumer = new Consumer({ ...base(brokers), groupId: `seek-${offset}`, autocommit: false, maxWaitTime: 200 })
    const found = []
    const offsets = [0, 1, 2].map(partition => ({ topic: READ_TOPIC, partition, offset }))
    const stream = await consumer.consume({ topics: [READ_TOPIC], mode: MessagesStreamModes.MANUAL, offsets })
    stream.on('data', it => found.push(it))
    await eventually(`a record of offset ${offset} comes`, () => found.length > 0)
    checkEqual(found[0].offset, offset, 'where it begins')
    await stream.close()
    await consumer.close()
  }
}

const committing = async (member, next) => {
  const offsets = Object.entries(next).map(([partition, offset]) => ({ topic: READ_TOPIC, partition: Number(partition), offset: BigInt(offset), leaderEpoch: -1 }))
  await member.consumer.commit({ offsets })
}

const groupResume = (group, settings = {}) => async brokers => {
  const first = await reading(brokers, group, 120, settings)
  const next = {}
  for (const it of first.found) next[it.partition] = Number(it.offset) + 1
  await committing(first.member, next)
  await first.member.close()
  const rest = await reading(brokers, group, READ_PARTITIONS * READ_RECORDS - 120, settings)
  const isOn = new Set()
  for (const it of rest.found) {
    if (!isOn.has(it.partition)) checkEqual(it.offset, next[it.partition] ?? 0, 'where the next member goes on')
    isOn.add(it.partition)
  }
  await committing(rest.member, { 0: 100, 1: 100, 2: 100 })
  await rest.member.close()
}

async function untilShared (members, sizes) {
  await eventually(`members share the partitions as ${sizes}`, () => {
    const counts = members.map(it => it.owned().length).sort()
    const all = members.flatMap(it => it.owned()).sort()
    return String(counts) === String(sizes) && String(all) === '0,1,2'
  })
}

const groupRebalance = (group, settings = {}) => async brokers => {
  const members = []
  for (const sizes of [[3], [1, 2], [1, 1, 1]]) {
    members.push(await join(brokers, group, settings))
    await untilShared(members, sizes)
  }
  await members.shift().close()
  await untilShared(members, [1, 2])
  for (const it of members) await it.close()
}

const groupAdmin = brokers => withAdmin(brokers, async admin => {
  const { member } = await reading(brokers, 'group-admin', READ_PARTITIONS * READ_RECORDS)
  await committing(member, { 0: 100, 1: 100, 2: 100 })
  check((await admin.listGroups()).has('group-admin'), 'not listed')
  const described = (await admin.describeGroups({ groups: ['group-admin'] })).get('group-admin')
  checkEqual([described.state.toUpperCase(), described.members.size], ['STABLE', 1], 'described')
  await member.close()
  const topics = [{ name: READ_TOPIC, partitionOffsets: [{ partition: 0, offset: 7n }] }]
  await admin.alterConsumerGroupOffsets({ groupId: 'group-admin', topics })
  const [offsets] = await admin.listConsumerGroupOffsets({ groups: ['group-admin'] })
  checkEqual(offsets.topics[0].partitions.map(it => Number(it.committedOffset)).sort((a, b) => a - b), [7, 100, 100], 'offsets')
  await admin.deleteGroups({ groups: ['group-admin'] })
  check(!(await admin.listGroups()).has('group-admin'), 'listed after it was deleted')
})

async function nodeDies (brokers) {
  const told = untilToldToStop()
  const read = new Set()
  const follower = await join(brokers, 'node-dies', { topics: ['node-dies'], take: it => read.add(String(it.key)) })
  let [n, acked, isRunning, failed] = [0, 0, false, null]
  await withProducer(brokers, { acks: -1 }, async producer => {
    while (!told.now) {
      const message = { topic: 'node-dies', partition: n % READ_PARTITIONS, key: bytes(key(n)), value: bytes(value(n)) }
      n++
      producer.send({ messages: [message] }).then(() => { acked++ }, error => { failed = error })
      // Slow enough that there is something left to be sent while a node dies.
      await pause(5)
      if (acked > 100 && !isRunning) {
        isRunning = true
        say({ event: 'running' })
      }
    }
    await eventually('all is acked', () => failed || acked === n)
  })
  if (failed) throw failed
  await eventually('everything is read that was written while a node died', () => read.size === n)
  await follower.close()
  return { sent: n }
}

await run('@platformatic/kafka', {
  'acks-0': produce('acks-0', { acks: 0 }),
  'acks-1': produce('acks-1', { acks: 1 }),
  'acks-all': produce('acks-all', { acks: -1 }),
  idempotent: produce('idempotent', { idempotent: true }),
  gzip: produce('gzip', { compression: 'gzip' }),
  snappy: produce('snappy', { compression: 'snappy' }),
  lz4: produce('lz4', { compression: 'lz4' }),
  zstd: produce('zstd', { compression: 'zstd' }),
  nulls,
  assign: assign('assign'),
  isolation: assign('isolation', { isolationLevel: 1 }),
  seek,
  timestamps,
  topics,
  configs,
  records,
  cluster,
  'log-dirs': logDirs,
  quotas,
  'node-dies': nodeDies,
  'group-resume': groupResume('group-resume'),
  'group-rebalance': groupRebalance('group-rebalance'),
  'group-admin': groupAdmin,
  'new-resume': groupResume('new-resume', { groupProtocol: 'consumer' }),
  'new-rebalance': groupRebalance('new-rebalance', { groupProtocol: 'consumer' })
})
