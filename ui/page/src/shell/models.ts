import type { About } from '@headwater/client'

/** The models that a chat may choose from, the server's own among them. */
export function modelsOf(about: About): readonly string[] {
  const names = about.models?.map(({ name }) => name) ?? []
  return names.includes(about.model) ? names : [about.model, ...names]
}
