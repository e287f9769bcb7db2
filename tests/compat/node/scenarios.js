// What both programs share: the records everybody writes and reads, and how a result is told.

import { createRequire } from 'node:module'
import { setTimeout as pause } from 'node:timers/promises'

export const RECORDS = 100
export const READ_TOPIC = 'read'
export const READ_PARTITIONS = 3
export const READ_RECORDS = 100
export const READ_FROM_MS = 1_700_000_000_000
export const TIMEOUT_MS = 30_000

export const key = n => `k-${n}`
export const value = n => `v-${n} ${'again '.repeat(20)}`
export const numbers = Array.from({ length: RECORDS }, (_, n) => n)

export function say (line) {
  // One write: what is written is not cut by the end of the process.
  process.stdout.write(JSON.stringify(line) + '\n')
}

export function check (isSo, what) {
  if (!isSo) throw new Error(typeof what === 'string' ? what : JSON.stringify(what))
}

export function checkEqual (found, wanted, what) {
  const [a, b] = [found, wanted].map(it => JSON.stringify(it, (_, x) => typeof x === 'bigint' ? Number(x) : x))
  check(a === b, `${what}: ${a} where ${b} belongs`)
}

/// Brokers learn of a change one after another, and any of them may be asked.
export async function eventually (what, isSo) {
  const deadline = Date.now() + TIMEOUT_MS
  while (!await isSo()) {
    check(Date.now() < deadline, what)
    await pause(10)
  }
}

/// Its `now` is true when nothing more comes on standard input.
export function untilToldToStop () {
  const told = { now: false }
  process.stdin.on('end', () => { told.now = true })
  process.stdin.resume()
  return told
}

/// Exactly what every partition of the topic holds, in its order.
export function checkAllRead (records, partitions = [0, 1, 2]) {
  const found = {}
  for (const { partition, offset, key: k, value: v } of records) {
    const n = found[partition] ?? 0
    checkEqual([Number(offset), String(k), String(v)], [n, key(n), value(n)], `record of partition ${partition}`)
    found[partition] = n + 1
  }
  checkEqual(found, Object.fromEntries(partitions.map(it => [it, READ_RECORDS])), 'records read')
}

export async function run (name, scenarios) {
  const [bootstrap, wanted] = process.argv.slice(2).map(it => it.split(','))
  say({ version: createRequire(import.meta.url)(`./node_modules/${name}/package.json`).version })
  for (const scenario of wanted) {
    try {
      const facts = await scenarios[scenario](bootstrap)
      say({ scenario, ok: true, sent: facts?.sent })
    } catch (error) {
      const mine = error.stack?.split('\n').find(it => it.includes('compat') && !it.includes('node_modules') && !it.includes('scenarios.js'))
      say({ scenario, ok: false, reason: `${error.message} ${mine?.trim() ?? ''}` })
    }
  }
  // Clients of a failed scenario may still hold connections.
  process.exit(0)
}
