import { createContext, useContext } from 'react'
import { words as en } from './en'

type Open<T> = { readonly [K in keyof T]: T[K] extends (...values: infer V) => string ? (...values: V) => string : T[K] extends string ? string : Open<T[K]> }

/** Every text of the page, in one language: a string, or a function of what stands in it. */
export type Words = Open<typeof en>

/** The languages of the page, named in themselves. */
export const LANGUAGES = { en: 'English', de: 'Deutsch', ar: 'العربية' } as const
export type Language = keyof typeof LANGUAGES

export const WordsContext = createContext<Words>(en)

/** The page's texts in the language that was chosen. */
export function useWords(): Words {
  return useContext(WordsContext)
}
