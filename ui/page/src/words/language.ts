import { createContext, useContext, useEffect, useState } from 'react'
import { preference, usePreference } from '../shell/preference'
import { words as en } from './en'
import { LANGUAGES, type Language, type Words } from './words'

const names = Object.keys(LANGUAGES) as Language[]

/** The language of the page: the browser's, as far as the page has it, until another is chosen. */
export const languagePreference = preference<Language>('headwater.language', names, () => {
  const wanted = navigator.languages.map((tag) => tag.split('-')[0])
  return wanted.flatMap((tag) => names.filter((name) => name === tag))[0] ?? 'en'
})

export const LanguageContext = createContext<Language>('en')

/** The language that is shown, for `Intl` and for `lang`. */
export function useLanguage(): Language {
  return useContext(LanguageContext)
}

/** A language and all its texts. */
export interface Spoken {
  readonly language: Language
  readonly words: Words
}

const loaders: Readonly<Record<Exclude<Language, 'en'>, () => Promise<{ words: Words }>>> = {
  de: () => import('./de'),
  ar: () => import('./ar'),
}

/** The texts of a language; English where they cannot be loaded, since a page without texts is worse. */
export async function speak(language: Language): Promise<Spoken> {
  if (language === 'en') return { language, words: en }
  return loaders[language]().then(({ words }) => ({ language, words }), () => ({ language: 'en', words: en }))
}

/** Follows the chosen language; what is shown changes once its texts are there. */
export function useSpoken(first: Spoken): Spoken {
  const [chosen] = usePreference(languagePreference)
  const [spoken, setSpoken] = useState(first)
  useEffect(() => {
    let current = true
    void speak(chosen).then((next) => current && setSpoken((now) => (now.language === next.language ? now : next)))
    return () => void (current = false)
  }, [chosen])
  useEffect(() => {
    document.documentElement.lang = spoken.language
    document.documentElement.dir = spoken.language === 'ar' ? 'rtl' : 'ltr'
  }, [spoken.language])
  return spoken
}
