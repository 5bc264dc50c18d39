import { createLiveLog, type LogSnapshot, type Transport } from '@headwater/client'
import { useEffect, useMemo, useSyncExternalStore } from 'react'

/** Follows one log by its address for as long as the component is mounted. */
export function useLog(transport: Transport, location: string): LogSnapshot {
  const log = useMemo(() => createLiveLog({ transport, location }), [transport, location])
  useEffect(() => {
    void log.open()
    return log.close
  }, [log])
  return useSyncExternalStore(log.subscribe, log.getSnapshot, log.getSnapshot)
}
