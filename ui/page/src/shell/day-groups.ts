import type { ConversationSummary } from '@headwater/client/conversations'

/** Chats of about one age; `name` is a key of the words, or a month by its first day. */
export interface DayGroup {
  readonly name: 'today' | 'yesterday' | 'week' | Date
  readonly items: readonly ConversationSummary[]
}

/** Divides a list, newest first, by the days of this place's calendar. */
export function dayGroups(items: readonly ConversationSummary[], now: number): DayGroup[] {
  const today = new Date(now).setHours(0, 0, 0, 0)
  // Days of a calendar, not of 24 hours: one has 23 of them, another 25.
  const before = (days: number) => {
    const day = new Date(today)
    day.setDate(day.getDate() - days)
    return day.getTime()
  }
  const nameOf = ({ updatedAt }: ConversationSummary): DayGroup['name'] => {
    if (updatedAt >= today) return 'today'
    if (updatedAt >= before(1)) return 'yesterday'
    if (updatedAt >= before(7)) return 'week'
    const day = new Date(updatedAt)
    return new Date(day.getFullYear(), day.getMonth())
  }
  const groups = new Map<string, { name: DayGroup['name']; items: ConversationSummary[] }>()
  for (const item of items) {
    const name = nameOf(item)
    const group = groups.get(String(name)) ?? { name, items: [] }
    group.items.push(item)
    groups.set(String(name), group)
  }
  return [...groups.values()]
}
