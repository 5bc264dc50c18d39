import { Component, memo, type ComponentType, type FunctionComponent, type ReactNode } from 'react'
import { tamed } from './tame'

/** Shows a text as it is where what should show it breaks: an answer never takes the page with it. */
class Boundary extends Component<{ readonly text: string; readonly children: ReactNode }, { readonly broken: boolean }> {
  override state = { broken: false }

  static getDerivedStateFromError(): { broken: boolean } {
    return { broken: true }
  }

  override render(): ReactNode {
    return this.state.broken ? <p className="raw">{this.props.text}</p> : this.props.children
  }
}

/** A component that shows Markdown, made safe against texts that no parser survives. */
export function guarded<P extends { readonly text: string }>(Shown: ComponentType<P>): FunctionComponent<P> {
  return memo(function Guarded(props: P) {
    return (
      <Boundary text={props.text}>
        <Shown {...props} text={tamed(props.text)} />
      </Boundary>
    )
  }) as unknown as FunctionComponent<P>
}
