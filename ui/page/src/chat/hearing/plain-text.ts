import { marked, type Token, type Tokens } from 'marked'
import { tamed } from '../../markdown/tame'
import type { Words } from '../../words/words'

/** Words of an answer that are announced; one who wants more of it reads it. */
const MOST = 120

/** Markdown as one would read it aloud: no signs, headings and code fences named, lists by their items. */
export function plainText(markdown: string, words: Words['chat']): string {
  return marked
    .lexer(tamed(markdown))
    .map((token) => block(token, words))
    .filter(Boolean)
    .join(' ')
}

/** Cuts a long text after a number of words, and says how much is left. */
export function shortened(text: string, words: Words['chat']): string {
  const all = text.split(/\s+/)
  // A few words more are sooner heard than counted.
  if (all.length <= MOST + 20) return text
  return `${all.slice(0, MOST).join(' ')} ${words.moreWords(all.length - MOST)}`
}

function block(token: Token, words: Words['chat']): string {
  switch (token.type) {
    case 'heading':
      return words.spokenHeading(inline(token, words))
    case 'code':
      return words.spokenCode((token as Tokens.Code).lang ?? '', (token as Tokens.Code).text.split('\n').length)
    case 'table':
      return words.spokenTable((token as Tokens.Table).rows.length)
    case 'blockquote':
      return words.spokenQuote(blocks((token as Tokens.Blockquote).tokens, words))
    case 'list': {
      const { items, ordered, start } = token as Tokens.List
      return items.map((item, index) => `${ordered ? `${Number(start) + index}. ` : ''}${sentence(blocks(item.tokens, words))}`).join(' ')
    }
    case 'space':
    case 'hr':
    case 'def':
    case 'html':
      return ''
    default:
      return inline(token, words)
  }
}

function blocks(tokens: readonly Token[], words: Words['chat']): string {
  return tokens
    .map((token) => block(token, words))
    .filter(Boolean)
    .join(' ')
}

function inline(token: Token, words: Words['chat']): string {
  if (token.type === 'image') return words.spokenImage((token as Tokens.Image).text)
  if (token.type === 'br') return ' '
  if (token.type === 'html') return ''
  const inner = 'tokens' in token ? token.tokens : undefined
  const text = inner && inner.length > 0 ? inner.map((part) => inline(part, words)).join('') : 'text' in token ? String(token.text) : ''
  return text.replace(/\s+/g, ' ')
}

/** An item of a list without a stop runs into the next one. */
function sentence(text: string): string {
  return /[\p{L}\p{N})\]”"’]$/u.test(text) ? `${text}.` : text
}
