import { base64, type QuestionFile } from '@headwater/client/conversations'
import type { FileLimits, Refusal } from './use-files'

const IMAGES = /^image\/(png|jpeg|gif|webp)$/

/** Reads files for a question, as far as its limits allow; says of each of the others why not. */
export async function readFiles(
  files: readonly File[],
  beside: readonly QuestionFile[],
  limits: FileLimits,
): Promise<{ files: readonly QuestionFile[]; refused: readonly Refusal[] }> {
  const taken: QuestionFile[] = []
  const refused: Refusal[] = []
  let bytes = beside.reduce((sum, { size }) => sum + size, 0)
  for (const file of files) {
    const { name, size } = file
    const image = IMAGES.test(file.type)
    const refuse = (why: Refusal['why']) => refused.push({ why, name })
    if (beside.length + taken.length >= limits.count) refuse('tooMany')
    else if (image && !limits.images) refuse('noImages')
    else if (size > limits.each[image ? 'image' : 'text']) refuse(image ? 'tooLargeImage' : 'tooLargeText')
    else if (bytes + size > limits.bytes) refuse('tooLarge')
    else {
      const content = await file.arrayBuffer().catch(() => null)
      if (content === null) refuse('unreadable')
      else if (!image && !isText(content)) refuse('notText')
      else {
        bytes += size
        const type = image || file.type.startsWith('text/') ? file.type : 'text/plain'
        taken.push({ name: name || `image.${file.type.slice(6)}`, type, size, data: base64(new Uint8Array(content)) })
      }
    }
  }
  return { files: taken, refused }
}

/** Whether bytes are text, whatever the name says. */
function isText(content: ArrayBuffer): boolean {
  try {
    return !new TextDecoder('utf-8', { fatal: true }).decode(content).includes('\0')
  } catch {
    return false
  }
}
