import { CodeBlock } from '../code-block'

/** A diagram of Mermaid. */
export function Diagram({ source }: { source: string }) {
  return <CodeBlock language="mermaid" code={source} />
}
