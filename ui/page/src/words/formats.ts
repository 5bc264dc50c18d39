import { useMemo } from 'react'
import { useLanguage } from './language'

/** Numbers and times as people of a language write them. */
export interface Formats {
  readonly number: (value: number) => string
  /** US dollars, with as many places as the price of one answer needs. */
  readonly money: (dollars: number) => string
  /** A span of time: milliseconds, seconds, minutes or hours, whichever reads best. */
  readonly duration: (seconds: number) => string
  /** Day and time of day. */
  readonly date: (milliseconds: number) => string
  readonly month: (date: Date) => string
  /** How long ago, such as “3 minutes ago”. */
  readonly ago: (milliseconds: number, now: number) => string
}

/** The formats of a language. */
export function formatsOf(language: string): Formats {
  const number = new Intl.NumberFormat(language, { maximumFractionDigits: 1 })
  const date = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' })
  const month = new Intl.DateTimeFormat(language, { month: 'long', year: 'numeric' })
  const relative = new Intl.RelativeTimeFormat(language, { numeric: 'auto' })
  const unit = (value: number, unit: string, digits: number) =>
    new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: digits }).format(value)
  return {
    number: number.format,
    money: (dollars) =>
      new Intl.NumberFormat(language, { style: 'currency', currency: 'USD', maximumFractionDigits: dollars < 0.01 ? 6 : dollars < 1 ? 4 : 2 }).format(dollars),
    duration(seconds) {
      if (seconds < 1) return unit(Math.round(seconds * 1000), 'millisecond', 0)
      if (seconds < 90) return unit(seconds, 'second', 1)
      return seconds < 5400 ? unit(seconds / 60, 'minute', 0) : unit(seconds / 3600, 'hour', 1)
    },
    date: (milliseconds) => date.format(milliseconds),
    month: (day) => month.format(day),
    ago(milliseconds, now) {
      const minutes = Math.floor(Math.max(0, now - milliseconds) / 60_000)
      if (minutes < 1) return relative.format(0, 'second')
      if (minutes < 60) return relative.format(-minutes, 'minute')
      const hours = Math.floor(minutes / 60)
      return hours < 48 ? relative.format(-hours, 'hour') : relative.format(-Math.floor(hours / 24), 'day')
    },
  }
}

/** The formats of the page's language. */
export function useFormats(): Formats {
  const language = useLanguage()
  return useMemo(() => formatsOf(language), [language])
}
