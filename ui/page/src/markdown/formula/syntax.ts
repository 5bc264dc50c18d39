import type { Code, Construct, Effects, Extension, State, TokenizeContext } from 'micromark-util-types'

// Token names of our own beside those that micromark has.
declare module 'micromark-util-types' {
  interface TokenTypeMap {
    formula: 'formula'
    formulaPiece: 'formulaPiece'
  }
}

const DOLLAR = 36
const BACKSLASH = 92
const ROUND = 40
const SQUARE = 91
/** The longest formula in characters. What is longer is text. */
const LONGEST = 4000

const isLineEnd = (code: Code): code is -5 | -4 | -3 => code !== null && code < -2
const isSpace = (code: Code) => code === null || code < 0 || code === 32
const isWord = (code: Code) => code !== null && code > 0 && /[\p{L}\p{N}]/u.test(String.fromCharCode(code))
const textOf = (code: Code) => (code === null || code < 0 ? ' ' : String.fromCharCode(code))

/** Whether what stands between two single dollars is a formula: a sign of one, or something short without a space. */
export function isFormula(content: string): boolean {
  return /[\\^_={}<>+*/|]/.test(content) || (content.length <= 20 && !/\s/.test(content))
}

/** Reads `$…$`, `$$…$$`, `\(…\)` and `\[…\]` in a line of text. */
function tokenizeText(this: TokenizeContext, effects: Effects, ok: State, nok: State): State {
  let closer = 0
  let double = false
  let content = ''
  return start

  function start(code: Code): State | undefined {
    effects.enter('formula')
    effects.enter('formulaPiece')
    effects.consume(code)
    return code === DOLLAR ? dollar : bracket
  }
  function bracket(code: Code): State | undefined {
    if (code !== ROUND && code !== SQUARE) return nok(code)
    closer = code === ROUND ? 41 : 93
    effects.consume(code)
    return within
  }
  function dollar(code: Code): State | undefined {
    if (code !== DOLLAR) return isSpace(code) ? nok(code) : within(code)
    double = true
    effects.consume(code)
    return third
  }
  function third(code: Code): State | undefined {
    return code === DOLLAR ? nok(code) : within(code)
  }
  function within(code: Code): State | undefined {
    if (code === null) return unfinished(code)
    if (content.length > LONGEST) return nok(code)
    if (isLineEnd(code)) {
      effects.exit('formulaPiece')
      effects.enter('lineEnding')
      effects.consume(code)
      effects.exit('lineEnding')
      content += ' '
      return lineStart
    }
    if (closer === 0 && code === DOLLAR) return double ? twice(code) : once(code)
    content += textOf(code)
    effects.consume(code)
    return code === BACKSLASH ? escaped : within
  }
  function lineStart(code: Code): State | undefined {
    // A construct may not end in a piece that is empty.
    if (code === null || isLineEnd(code)) return nok(code)
    effects.enter('formulaPiece')
    return within(code)
  }
  function escaped(code: Code): State | undefined {
    if (closer !== 0 && code === closer) return content.trim().length > 1 ? finish(code) : nok(code)
    if (code === null || isLineEnd(code)) return within(code)
    content += textOf(code)
    effects.consume(code)
    return within
  }
  function once(code: Code): State | undefined {
    if (/\s$/.test(content) || !isFormula(content)) return nok(code)
    effects.consume(code)
    return afterOnce
  }
  // Digits and letters after it: two prices, or two variables of a shell.
  function afterOnce(code: Code): State | undefined {
    return isWord(code) || code === DOLLAR ? nok(code) : done(code)
  }
  function twice(code: Code): State | undefined {
    effects.consume(code)
    return second
  }
  function second(code: Code): State | undefined {
    if (code !== DOLLAR) return nok(code)
    return content.trim() ? finish(code) : nok(code)
  }
  function finish(code: Code): State | undefined {
    effects.consume(code)
    return done
  }
  function done(code: Code): State | undefined {
    effects.exit('formulaPiece')
    effects.exit('formula')
    return ok(code)
  }
  // Its end is still to come, or never will: the source is shown as it is, without Markdown's own escapes in it.
  function unfinished(code: Code): State | undefined {
    return closer !== 0 || double || /\\\S/.test(content) ? done(code) : nok(code)
  }
}

/** Reads a display formula that stands by itself, over as many lines as it needs; a blank line is not one of them. */
function tokenizeFlow(this: TokenizeContext, effects: Effects, ok: State, nok: State): State {
  const { parser, now } = this
  let sign = DOLLAR
  let last: Code = null
  let blank = false
  let length = 0
  const nextLine: Construct = {
    partial: true,
    tokenize: (effects, ok, nok) => {
      return function lineEnd(code) {
        effects.enter('lineEnding')
        effects.consume(code)
        effects.exit('lineEnding')
        return (code) => (parser.lazy[now().line] ? nok(code) : ok(code))
      }
    },
  }
  return start

  function start(code: Code): State | undefined {
    sign = code === DOLLAR ? DOLLAR : BACKSLASH
    effects.enter('formula')
    effects.enter('formulaPiece')
    effects.consume(code)
    return opening
  }
  function opening(code: Code): State | undefined {
    if (code !== (sign === DOLLAR ? DOLLAR : SQUARE)) return nok(code)
    effects.consume(code)
    return opened
  }
  function opened(code: Code): State | undefined {
    return code === DOLLAR ? nok(code) : within(code)
  }
  function within(code: Code): State | undefined {
    if (code === null) return done(code)
    if (length++ > LONGEST) return nok(code)
    if (isLineEnd(code)) {
      effects.exit('formulaPiece')
      return effects.attempt(nextLine, lineStart, nok)(code)
    }
    const closes = sign === DOLLAR ? code === DOLLAR && last === DOLLAR : code === 93 && last === BACKSLASH
    last = code === BACKSLASH && last === BACKSLASH ? null : code
    if (!isSpace(code)) blank = false
    effects.consume(code)
    return closes ? after : within
  }
  function lineStart(code: Code): State | undefined {
    last = null
    blank = true
    if (code === null) return closeAtEnd(code)
    if (isLineEnd(code)) return nok(code)
    effects.enter('formulaPiece')
    return indented(code)
  }
  function indented(code: Code): State | undefined {
    if (isLineEnd(code) && blank) return nok(code)
    return within(code)
  }
  function after(code: Code): State | undefined {
    if (code === null || isLineEnd(code)) return done(code)
    if (!isSpace(code)) return nok(code)
    effects.consume(code)
    return after
  }
  function closeAtEnd(code: Code): State | undefined {
    effects.exit('formula')
    return ok(code)
  }
  function done(code: Code): State | undefined {
    effects.exit('formulaPiece')
    return closeAtEnd(code)
  }
}

const isLetter = (code: Code) => isWord(code) && !/\p{N}/u.test(textOf(code))
const text: Construct = { name: 'formulaText', tokenize: tokenizeText, previous: (code) => code !== DOLLAR && code !== BACKSLASH && !isLetter(code) }
const bracketText: Construct = { name: 'formulaText', tokenize: tokenizeText }
const flow: Construct = { name: 'formulaFlow', tokenize: tokenizeFlow, concrete: true }

/** The syntax of formulas in Markdown, for micromark. */
export const formulaSyntax: Extension = {
  flow: { [DOLLAR]: flow, [BACKSLASH]: flow },
  text: { [DOLLAR]: text, [BACKSLASH]: bracketText },
}
