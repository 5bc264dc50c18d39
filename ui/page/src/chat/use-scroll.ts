import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, type RefObject } from 'react'

// Close enough to the end to count as there, and far enough to offer the way back.
const NEAR = 40
const FAR = 120

/** What moves a conversation on the screen, besides the reader. */
export interface Scroll {
  /** Whether the newest text is out of sight. */
  readonly away: boolean
  readonly toLatest: () => void
  /** Puts a turn at the top of the view, with room below it for an answer as long as the view. */
  readonly toTop: (turn: string) => void
  /** Runs a change of the turns that must not move what is above `turn`, nor lose its place in view. */
  readonly keep: (turn: HTMLElement, control: HTMLElement) => void
  /** To be called before turns are added above those that are shown; what it returns, afterwards. */
  readonly keepBelow: () => () => void
}

interface Elements {
  /** The turns; the spacer is below them. */
  readonly list: RefObject<HTMLElement | null>
  readonly spacer: RefObject<HTMLElement | null>
  /** What covers the end of the view: the box that asks. */
  readonly dock: RefObject<HTMLElement | null>
}

/**
 * Scrolls a conversation: it opens at its end, and a new question goes to the top while its answer grows below it.
 * Nothing follows the growing text unless the reader went to the end of it; nothing moves against the reader's hand.
 */
export function useScroll({ list, spacer, dock }: Elements, ready: boolean): Scroll {
  const [away, setAway] = useState(false)
  // Only read and written outside of rendering.
  const state = useRef({ following: true, anchored: false, touched: false, away: false, top: 0, reach: null as null | (() => number | null), after: null as null | (() => void) })

  const view = useMemo(() => {
    const page = () => scrollerOf(list.current)
    const scrollTo = (top: number) => {
      const scroller = page()
      scroller.scrollTop = top
      state.current.top = scroller.scrollTop
    }
    /** Makes the end of the page such that the place to be reached can be scrolled to. */
    const fit = () => {
      const scroller = page()
      if (!spacer.current) return
      const wanted = state.current.reach?.() ?? null
      const set = (height: number) => {
        if (spacer.current && height !== spacer.current.offsetHeight) spacer.current.style.height = `${height}px`
      }
      if (wanted === null) return set(0)
      const all = wanted + scroller.clientHeight
      // A page that is shorter than the view has the view's height, and does not tell how short it is.
      if (scroller.scrollHeight <= scroller.clientHeight) set(Math.ceil(all))
      set(Math.max(0, Math.ceil(all - (scroller.scrollHeight - spacer.current.offsetHeight))))
    }
    /** Puts the turn that is to be at the top there. */
    const place = () => {
      fit()
      const top = state.current.reach?.() ?? null
      if (top !== null && Math.abs(page().scrollTop - top) > 0.5) scrollTo(top)
    }
    /** How far the end of the text is below what can be seen. */
    const hidden = () => {
      const end = list.current?.getBoundingClientRect().bottom ?? 0
      return end - (dock.current?.getBoundingClientRect().top ?? page().clientHeight)
    }
    const look = () => {
      const away = hidden() > FAR
      // React would render once more to see that nothing has changed.
      if (away !== state.current.away) setAway((state.current.away = away))
    }
    return { page, scrollTo, fit, place, look }
  }, [list, spacer, dock])

  const toLatest = useCallback(() => {
    Object.assign(state.current, { following: true, anchored: false })
    view.scrollTo(view.page().scrollHeight)
    view.look()
  }, [view])

  const toTop = useCallback(
    (turn: string) => {
      const element = () => list.current?.querySelector<HTMLElement>(`[data-turn="${CSS.escape(turn)}"]`)
      state.current.reach = () => {
        const found = element()
        return found ? offsetIn(found, view.page()) : null
      }
      Object.assign(state.current, { following: false, anchored: true })
      view.place()
      view.look()
    },
    [list, view],
  )

  const keep = useCallback(
    (turn: HTMLElement, control: HTMLElement) => {
      const scroller = view.page()
      const at = scroller.scrollTop
      const controlAt = control.getBoundingClientRect().top
      const index = [...(list.current?.querySelectorAll('[data-turn]') ?? [])].indexOf(turn)
      // A reader at the foot of a long turn keeps the control under the hand; one who sees its head keeps the head.
      const byFoot = offsetIn(turn, scroller) < at - 1
      Object.assign(state.current, { following: false, anchored: false })
      state.current.reach = () => at
      state.current.after = () => {
        const shown = list.current?.querySelectorAll<HTMLElement>('[data-turn]')[index]
        const control = shown?.querySelector('.branch-picker')
        view.fit()
        if (byFoot && shown && control) {
          const top = Math.max(offsetIn(shown, scroller), scroller.scrollTop + control.getBoundingClientRect().top - controlAt)
          state.current.reach = () => top
          view.fit()
          view.scrollTo(top)
        } else view.scrollTo(at)
        view.look()
      }
    },
    [list, view],
  )

  const keepBelow = useCallback(() => {
    const scroller = view.page()
    const below = scroller.scrollHeight - scroller.scrollTop
    Object.assign(state.current, { following: false, anchored: false })
    return () => view.scrollTo(scroller.scrollHeight - below)
  }, [view])

  // After every rendering: a change that asked to be accompanied has just been shown.
  useLayoutEffect(() => {
    state.current.after?.()
    state.current.after = null
  })

  // Opening lands at the end, before anything is painted.
  useLayoutEffect(() => {
    if (ready && state.current.following) view.scrollTo(view.page().scrollHeight)
  }, [ready, view])

  useEffect(() => {
    const current = state.current
    const scroller = view.page()
    const source: EventTarget = scroller === document.documentElement ? window : scroller
    current.top = scroller.scrollTop
    const onScroll = () => {
      const { scrollTop, scrollHeight, clientHeight } = scroller
      const gap = scrollHeight - clientHeight - scrollTop
      // Growth never moves the page up, so only the reader's own hand can have done it.
      if (scrollTop < current.top - 0.5 && gap > 1) current.following = current.anchored = false
      // The end of a page that still has room below the text is no wish to follow.
      else if (scrollTop > current.top + 0.5 && gap < NEAR && (spacer.current?.offsetHeight ?? 0) === 0) current.following = true
      if (scrollTop > current.top + 0.5) current.anchored = false
      current.top = scrollTop
      view.look()
    }
    const onTouch = ({ type }: Event) => void (current.touched = type === 'touchstart' || type === 'touchmove')
    const growth = new ResizeObserver(() => {
      if (current.touched) return view.fit()
      // Where a line of the box went, or a picture above came, the turn at the top goes back there.
      if (current.anchored) view.place()
      else view.fit()
      if (current.following) view.scrollTo(scroller.scrollHeight)
      view.look()
    })
    for (const part of [list, dock]) if (part.current) growth.observe(part.current)
    const touches = ['touchstart', 'touchmove', 'touchend', 'touchcancel']
    source.addEventListener('scroll', onScroll, { passive: true })
    window.addEventListener('resize', view.fit)
    for (const type of touches) window.addEventListener(type, onTouch, { passive: true })
    return () => {
      growth.disconnect()
      source.removeEventListener('scroll', onScroll)
      window.removeEventListener('resize', view.fit)
      for (const type of touches) window.removeEventListener(type, onTouch)
    }
    // What is observed is there once there are turns.
  }, [list, dock, spacer, view, ready])

  return useMemo(() => ({ away, toLatest, toTop, keep, keepBelow }), [away, toLatest, toTop, keep, keepBelow])
}

/** What scrolls around an element: the page, unless a layout has a part that scrolls. */
function scrollerOf(element: HTMLElement | null): HTMLElement {
  for (let part = element?.parentElement; part && part !== document.body; part = part.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(part).overflowY)) return part
  }
  return document.documentElement
}

/** Where a scroller must stand to show an element at the top of its view, below what covers that. */
function offsetIn(element: HTMLElement, scroller: HTMLElement): number {
  const origin = scroller === document.documentElement ? 0 : scroller.getBoundingClientRect().top
  const covered = Number.parseFloat(getComputedStyle(scroller).scrollPaddingTop) || 0
  return Math.max(0, element.getBoundingClientRect().top - origin + scroller.scrollTop - covered)
}
