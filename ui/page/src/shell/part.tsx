import { Component, createElement, lazy, Suspense, type Attributes, type ComponentType, type FunctionComponent, type ReactNode } from 'react'

interface FenceProps {
  readonly onFailure: () => void
}

/** A part of the page that is loaded when it is first shown. Where it breaks the rest stays, and `onFailure` may say so. */
export function part<P extends object>(load: () => Promise<{ default: ComponentType<P> }>): FunctionComponent<P & FenceProps> {
  let shown = lazy(load)
  return function Part(props) {
    const fail = () => {
      // React remembers a load that failed; the next time it is tried anew.
      shown = lazy(load)
      props.onFailure()
    }
    return (
      <Fence onFailure={fail}>
        <Suspense>{createElement(shown as ComponentType<P>, props as P & Attributes)}</Suspense>
      </Fence>
    )
  }
}

class Fence extends Component<FenceProps & { readonly children: ReactNode }, { readonly failed: boolean }> {
  override state = { failed: false }

  static getDerivedStateFromError() {
    return { failed: true }
  }

  override componentDidCatch() {
    this.props.onFailure()
  }

  override render() {
    return this.state.failed ? null : this.props.children
  }
}
