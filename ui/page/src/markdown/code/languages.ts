/** A language that can be coloured: its name in highlight.js, and what a file of it ends in. */
interface Language {
  readonly name: string
  readonly ending: string
}

// The name, the ending, and the further words that stand behind a fence for it.
const KNOWN = `bash sh shell zsh sh
c c h
cpp cpp c++ cc cxx hpp
csharp cs c# cs
css css
diff diff patch
dockerfile Dockerfile docker
go go golang
ini ini toml conf cfg properties
java java
javascript js javascript jsx mjs cjs node
json json jsonc json5 jsonl
kotlin kt kts
lua lua
makefile Makefile make mk
markdown md mkd
php php
powershell ps1 pwsh ps
python py python3 py3
r r
ruby rb
rust rs
shell sh console shellsession terminal
sql sql postgresql mysql sqlite plsql
swift swift
typescript ts tsx mts cts
xml html htm svg xhtml vue xslt
yaml yml`

const LANGUAGES = new Map<string, Language>()
for (const line of KNOWN.split('\n')) {
  const [name = '', ending = '', ...words] = line.split(' ')
  for (const word of [name, ending.toLowerCase(), ...words]) if (!LANGUAGES.has(word)) LANGUAGES.set(word, { name, ending })
}

/** The name under which highlight.js knows a fence's language; null if it is none of ours. */
export function highlighterOf(language: string | null): string | null {
  return (language && LANGUAGES.get(language.toLowerCase())?.name) || null
}

const SENSIBLE = /^[\w@+-][\w@+.-]{0,79}$/

/** The name for a file of the code: what the fence says it is called, else one by its language. */
export function fileNameOf(language: string | null, meta: string | null): string {
  const named = /(?:title|file|filename|name)=["']?([^"'\s]+)/.exec(meta ?? '')?.[1]?.split(/[/\\]/).at(-1)
  if (named && SENSIBLE.test(named)) return named
  const ending = LANGUAGES.get((language ?? '').toLowerCase())?.ending ?? 'txt'
  return /^[A-Z]/.test(ending) ? ending : `code.${ending}`
}
