import type { About } from '@headwater/client'
import type { QuestionFile } from '@headwater/client/conversations'
import { useCallback, useEffect, useRef, useState } from 'react'

// What the server takes; see `conversations/files.py`.
const MOST = 10
const IMAGE = 4 * 1024 * 1024
const TEXT = 512 * 1024
// A question of a server that says no limit (0), or none: what is left of it for files in base64, which adds a third.
const BODY = 1024 * 1024
const TEXT_BESIDE = 64 * 1024

/** What files a question may have. */
export interface FileLimits {
  readonly images: boolean
  readonly count: number
  /** Bytes of all files together. */
  readonly bytes: number
  /** Bytes of one file. */
  readonly each: { readonly image: number; readonly text: number }
}

/** The limits of the chosen model and of the server. */
export function limitsOf(about: About | null, chosen: string | undefined): FileLimits {
  const { models = [], max_body } = (about ?? {}) as Partial<About>
  const model = models.find(({ name }) => name === (chosen ?? about?.model)) ?? (models.length === 1 ? models[0] : undefined)
  return { images: model?.images ?? false, count: MOST, bytes: Math.max(0, Math.floor((((max_body || BODY) - TEXT_BESIDE) * 3) / 4)), each: { image: IMAGE, text: TEXT } }
}

/** What the browser's file picker offers. */
export function acceptedTypes(images: boolean): string {
  const texts = 'text/*,application/json,application/xml,.md,.csv,.tsv,.log,.yaml,.yml,.toml,.ini,.py,.js,.ts,.tsx,.jsx,.java,.c,.h,.cpp,.rs,.go,.rb,.sh,.sql,.svg'
  return images ? `image/png,image/jpeg,image/gif,image/webp,${texts}` : texts
}

/** Why a file does not go with the question. */
export interface Refusal {
  readonly why: 'tooMany' | 'tooLarge' | 'tooLargeImage' | 'tooLargeText' | 'noImages' | 'notText' | 'unreadable'
  readonly name: string
}

/** The files of the question that is being written. */
export interface Files {
  readonly all: readonly QuestionFile[]
  readonly refused: readonly Refusal[]
  /** Files are being read: they are not among `all` yet. */
  readonly reading: boolean
  /** Files are being dragged over the page. */
  readonly dropping: boolean
  readonly add: (files: readonly File[]) => void
  readonly put: (files: readonly QuestionFile[]) => void
  readonly remove: (index: number) => void
  readonly clear: () => void
}

/** Collects files that are chosen, pasted, or dropped anywhere on the page. */
export function useFiles(limits: FileLimits): Files {
  const [all, show] = useState<readonly QuestionFile[]>([])
  const [refused, setRefused] = useState<readonly Refusal[]>([])
  const [dropping, setDropping] = useState(false)
  const [reading, setReading] = useState(false)
  const current = useRef(limits)
  current.current = limits
  // What has been taken, also between two renderings, and what is being read: the limits are of all files together.
  const taken = useRef(all)
  const reads = useRef({ last: Promise.resolve(), count: 0 })
  const keep = useCallback((files: readonly QuestionFile[]) => show((taken.current = files.slice(0, MOST))), [])

  const add = useCallback((files: readonly File[]) => {
    if (files.length === 0) return
    const { current: queue } = reads
    if (queue.count++ === 0) setRefused([])
    setReading(true)
    // Reading files is a rare need, and so not part of the first load.
    const read = async () => (await import('./read-files')).readFiles(files, taken.current, current.current)
    const unread = () => ({ files: [], refused: files.map(({ name }) => ({ why: 'unreadable' as const, name })) })
    queue.last = queue.last.then(async () => {
      const { files, refused } = await read().catch(unread)
      keep([...taken.current, ...files])
      setRefused((now) => [...now, ...refused])
      setReading(--queue.count > 0)
    })
  }, [keep])

  useEffect(() => {
    const carries = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false
    const onDrag = (event: DragEvent) => {
      if (!carries(event)) return
      event.preventDefault()
      setDropping(event.type !== 'dragleave' || event.relatedTarget !== null)
    }
    const onDrop = (event: DragEvent) => {
      if (!carries(event)) return
      event.preventDefault()
      setDropping(false)
      add([...(event.dataTransfer?.files ?? [])])
    }
    for (const type of ['dragenter', 'dragover', 'dragleave'] as const) window.addEventListener(type, onDrag)
    window.addEventListener('drop', onDrop)
    return () => {
      for (const type of ['dragenter', 'dragover', 'dragleave'] as const) window.removeEventListener(type, onDrag)
      window.removeEventListener('drop', onDrop)
    }
  }, [add])

  return {
    all,
    refused,
    reading,
    dropping,
    add,
    put: (files) => keep([...taken.current, ...files]),
    remove: (index) => {
      keep(taken.current.filter((_, at) => at !== index))
      setRefused([])
    },
    clear: () => {
      keep([])
      setRefused([])
    },
  }
}
