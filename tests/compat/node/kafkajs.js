// kafkajs: the client in plain JavaScript.

import { setTimeout as pause } from 'node:timers/promises'
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'
import {
  READ_FROM_MS, READ_PARTITIONS, READ_RECORDS, READ_TOPIC, TIMEOUT_MS, check, checkAllRead, checkEqual, eventually, key,
  numbers, run, say, untilToldToStop, value
} from './scenarios.js'

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = kafkajs
CompressionCodecs[CompressionTypes.Snappy] = snappy

const client = brokers => new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { retries: 30, maxRetryTime: 1000 } })

async function withProducer (brokers, settings, use) {
  const producer = client(brokers).producer({ createPartitioner: () => () => 0, ...settings })
  await producer.connect()
  try {
    return await use(producer)
  } finally {
    await producer.disconnect()
  }
}

const produce = (topic, { settings = {}, ...options }) => brokers => withProducer(brokers, settings, async producer => {
  const messages = numbers.map(n => ({ key: key(n), value: value(n), partition: 0 }))
  await producer.send({ topic, messages, ...options })
})

const nulls = brokers => withProducer(brokers, {}, producer => producer.send({
  topic: 'nulls',
  messages: [
    { partition: 0, key: 'k', value: 'v', headers: { a: ['1', '2'], empty: '' } },
    { partition: 0, key: null, value: 'v' },
    { partition: 0, key: 'k', value: null }
  ]
}))

async function withAdmin (brokers, use) {
  const admin = client(brokers).admin()
  await admin.connect()
  try {
    return await use(admin)
  } finally {
    await admin.disconnect()
  }
}

const topics = brokers => withAdmin(brokers, async admin => {
  const left = { topic: 'left', numPartitions: 3, replicationFactor: 2, configEntries: [{ name: 'retention.ms', value: '12345' }] }
  const placed = { topic: 'placed', replicaAssignment: [{ partition: 0, replicas: [1, 2] }, { partition: 1, replicas: [3, 1] }] }
  check(await admin.createTopics({ topics: [left, { topic: 'gone', numPartitions: 1 }] }), 'created')
  check(await admin.createTopics({ topics: [{ numPartitions: -1, replicationFactor: -1, ...placed }] }), 'placed')
  check(await admin.createTopics({ validateOnly: true, waitForLeaders: false, topics: [{ topic: 'only-validated' }] }), 'validated')
  check(!await admin.createTopics({ topics: [left] }), 'created twice')
  await admin.createPartitions({ topicPartitions: [{ topic: 'left', count: 5 }] })
  await admin.deleteTopics({ topics: ['gone'] })
  await eventually('a topic has 5 partitions', async () =>
    (await admin.fetchTopicMetadata({ topics: ['left'] })).topics[0].partitions.length === 5)
  await eventually('a deleted topic is not listed', async () => !(await admin.listTopics()).includes('gone'))
})

const configs = brokers => withAdmin(brokers, async admin => {
  await admin.createTopics({ topics: [{ topic: 'configured' }] })
  const resource = { type: ConfigResourceTypes.TOPIC, name: 'configured' }
  await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'segment.bytes', value: '2097152' }] }] })
  await eventually('segment.bytes is the topic\'s own', async () => {
    const found = (await admin.describeConfigs({ includeSynonyms: true, resources: [resource] })).resources[0].configEntries
    const entry = found.find(it => it.configName === 'segment.bytes')
    return entry.configValue === '2097152' && entry.configSource === 1 && entry.configSynonyms.length > 1
  })
  const ofBroker = { type: ConfigResourceTypes.BROKER, name: '1' }
  const found = (await admin.describeConfigs({ resources: [ofBroker] })).resources[0].configEntries
  checkEqual(found.find(it => it.configName === 'node.id').configValue, '1', 'node.id')
})

const records = brokers => withAdmin(brokers, async admin => {
  // Only after it has asked for a topic's offsets does it know its leaders.
  await admin.fetchTopicOffsets('records')
  await admin.deleteTopicRecords({ topic: 'records', partitions: [{ partition: 0, offset: '30' }] })
  const found = await admin.fetchTopicOffsets('records')
  checkEqual([found[0].low, found[0].high], ['30', '100'], 'bounds of what is left')
})

const timestamps = brokers => withAdmin(brokers, async admin => {
  const found = await admin.fetchTopicOffsetsByTimestamp(READ_TOPIC, READ_FROM_MS + 40_000)
  checkEqual(found.map(it => it.offset), ['40', '40', '40'], 'offsets of a time')
  const bounds = await admin.fetchTopicOffsets(READ_TOPIC)
  checkEqual(bounds.map(it => [it.low, it.high]), [['0', '100'], ['0', '100'], ['0', '100']], 'bounds')
})

const cluster = brokers => withAdmin(brokers, async admin => {
  const found = await admin.describeCluster()
  checkEqual(found.brokers.map(it => it.nodeId).sort(), [1, 2, 3], 'brokers')
  check(found.controller > 0 && found.clusterId, 'controller and cluster')
})

/// A member that hands what it reads to `take`, and keeps what it owns.
async function join (brokers, groupId, { take = () => {}, topics = [READ_TOPIC], ...settings } = {}) {
  const consumer = client(brokers).consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 500, rebalanceTimeout: 10_000, ...settings })
  const member = { consumer, owned: [] }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    member.owned = Object.values(payload.memberAssignment).flat()
  })
  await consumer.connect()
  await consumer.subscribe({ topics, fromBeginning: true })
  await consumer.run({ autoCommit: false, eachMessage: async ({ topic, partition, message }) => take({ topic, partition, ...message }) })
  return member
}

async function reading (brokers, groupId, wanted, settings = {}, meanwhile = () => {}) {
  const found = []
  const member = await join(brokers, groupId, { take: it => { if (found.length < wanted) found.push(it) }, ...settings })
  meanwhile(member.consumer)
  await eventually(`${wanted} records come`, () => found.length === wanted)
  return { found, member }
}

const assign = (group, settings) => async brokers => {
  const { found, member } = await reading(brokers, group, READ_PARTITIONS * READ_RECORDS, settings)
  checkAllRead(found)
  await member.consumer.disconnect()
}

async function seek (brokers) {
  const found = []
  const member = await join(brokers, 'seek', { take: it => found.push(it) })
  for (const offset of [90, 50, 10]) {
    await eventually('it owns all', () => member.owned.length === READ_PARTITIONS)
    found.length = 0
    member.consumer.seek({ topic: READ_TOPIC, partition: 1, offset: String(offset) })
    await eventually(`a record of offset ${offset} comes`, () =>
      found.some(it => it.partition === 1 && it.offset === String(offset)))
  }
  await member.consumer.disconnect()
}

async function pausing (brokers) {
  const wanted = READ_PARTITIONS * READ_RECORDS
  const found = []
  const member = await join(brokers, 'pause', { take: it => found.push(it) })
  member.consumer.pause([{ topic: READ_TOPIC, partitions: [0] }])
  await eventually('the others are read', () => found.filter(it => it.partition !== 0).length === wanted - READ_RECORDS)
  member.consumer.resume([{ topic: READ_TOPIC, partitions: [0] }])
  await eventually('all is read', () => found.length === wanted)
  checkAllRead(found)
  await member.consumer.disconnect()
}

async function groupResume (brokers) {
  const first = await reading(brokers, 'group-resume', 120)
  const next = {}
  for (const it of first.found) next[it.partition] = Number(it.offset) + 1
  const offsets = Object.entries(next).map(([partition, offset]) => ({ topic: READ_TOPIC, partition: Number(partition), offset: String(offset) }))
  await first.member.consumer.commitOffsets(offsets)
  await first.member.consumer.disconnect()
  const rest = await reading(brokers, 'group-resume', READ_PARTITIONS * READ_RECORDS - 120)
  const isOn = new Set()
  for (const it of rest.found) {
    if (!isOn.has(it.partition)) checkEqual(Number(it.offset), next[it.partition] ?? 0, 'where the next member goes on')
    isOn.add(it.partition)
  }
  await rest.member.consumer.commitOffsets([0, 1, 2].map(partition => ({ topic: READ_TOPIC, partition, offset: '100' })))
  await rest.member.consumer.disconnect()
}

async function untilShared (members, sizes) {
  await eventually(`members share the partitions as ${sizes}`, () => {
    const counts = members.map(it => it.owned.length).sort()
    const all = members.flatMap(it => it.owned).sort()
    return String(counts) === String(sizes) && String(all) === '0,1,2'
  })
}

async function groupRebalance (brokers) {
  const members = []
  for (const sizes of [[3], [1, 2], [1, 1, 1]]) {
    members.push(await join(brokers, 'group-rebalance'))
    await untilShared(members, sizes)
  }
  await members.shift().consumer.disconnect()
  await untilShared(members, [1, 2])
  for (const it of members) await it.consumer.disconnect()
}

async function groupPattern (brokers) {
  const { found, member } = await reading(brokers, 'group-pattern', 20, { topics: [/^pattern-.*/] })
  checkEqual([...new Set(found.map(it => it.topic))].sort(), ['pattern-a', 'pattern-b'], 'topics of a pattern')
  await member.consumer.disconnect()
}

const groupAdmin = brokers => withAdmin(brokers, async admin => {
  const { member } = await reading(brokers, 'group-admin', READ_PARTITIONS * READ_RECORDS)
  await member.consumer.commitOffsets([0, 1, 2].map(partition => ({ topic: READ_TOPIC, partition, offset: '100' })))
  check((await admin.listGroups()).groups.some(it => it.groupId === 'group-admin'), 'not listed')
  const described = (await admin.describeGroups(['group-admin'])).groups[0]
  checkEqual([described.state, described.members.length], ['Stable', 1], 'described')
  await member.consumer.disconnect()
  await admin.setOffsets({ groupId: 'group-admin', topic: READ_TOPIC, partitions: [{ partition: 0, offset: '7' }] })
  const offsets = await admin.fetchOffsets({ groupId: 'group-admin', topics: [READ_TOPIC] })
  checkEqual(offsets[0].partitions.map(it => it.offset).sort(), ['100', '100', '7'], 'offsets')
  await admin.deleteGroups(['group-admin'])
  check(!(await admin.listGroups()).groups.some(it => it.groupId === 'group-admin'), 'listed after it was deleted')
})

async function nodeDies (brokers) {
  const told = untilToldToStop()
  const read = new Set()
  const follower = await join(brokers, 'node-dies', { topics: ['node-dies'], take: it => read.add(String(it.key)) })
  let [n, acked, isRunning, failed] = [0, 0, false, null]
  const byNumber = () => ({ message }) => Number(String(message.key).slice(2)) % READ_PARTITIONS
  await withProducer(brokers, { createPartitioner: byNumber }, async producer => {
    while (!told.now) {
      const messages = [{ key: key(n), value: value(n) }]
      n++
      producer.send({ topic: 'node-dies', messages }).then(() => { acked++ }, error => { failed = error })
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
  await follower.consumer.disconnect()
  return { sent: n }
}

await run('kafkajs', {
  'acks-0': produce('acks-0', { acks: 0 }),
  'acks-1': produce('acks-1', { acks: 1 }),
  'acks-all': produce('acks-all', { acks: -1 }),
  idempotent: produce('idempotent', { settings: { idempotent: true, maxInFlightRequests: 1 } }),
  gzip: produce('gzip', { compression: CompressionTypes.GZIP }),
  snappy: produce('snappy', { compression: CompressionTypes.Snappy }),
  nulls,
  assign: assign('assign'),
  isolation: assign('isolation', { readUncommitted: false }),
  seek,
  pause: pausing,
  timestamps,
  topics,
  configs,
  records,
  cluster,
  'node-dies': nodeDies,
  'group-resume': groupResume,
  'group-rebalance': groupRebalance,
  'group-pattern': groupPattern,
  'group-admin': groupAdmin
})
