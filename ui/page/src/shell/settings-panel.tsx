import type { ChatSettings } from '@headwater/client/conversations'
import { useId, useState, useSyncExternalStore, type ReactNode } from 'react'
import { languagePreference } from '../words/language'
import { LANGUAGES, useWords, type Language } from '../words/words'
import { Dialog } from './dialog'
import { modelsOf } from './models'
import type { PanelProps } from './panels'
import { notifyPreference, usePreference } from './preference'
import { THEMES, useTheme, type Theme } from './theme'

/** How this chat asks, and how this page looks; every change holds at once. */
export default function SettingsPanel({ conversation, about, onClose }: PanelProps) {
  const { shell: words } = useWords()
  return (
    <Dialog title={words.settings} testId="settings-dialog" onClose={onClose}>
      <ChatPart conversation={conversation} about={about} />
      <PagePart />
    </Dialog>
  )
}

function ChatPart({ conversation, about }: Pick<PanelProps, 'conversation' | 'about'>) {
  const { shell: words } = useWords()
  const { settings, state } = useSyncExternalStore(conversation.subscribe, conversation.getSnapshot)
  const loading = state === 'loading'
  const models = about ? modelsOf(about) : []
  const set = (change: { readonly [K in keyof ChatSettings]?: ChatSettings[K] | undefined }) => {
    const entries = Object.entries({ ...settings, ...change }).filter(([, value]) => value !== undefined && value !== '')
    conversation.configure(Object.fromEntries(entries))
  }
  // A field keeps the value that it was mounted with, so it is mounted anew once the settings are known.
  return (
    <fieldset key={String(loading)} disabled={loading}>
      <legend>{words.chatSettings}</legend>
      {models.length > 1 && (
        <Field label={words.model}>
          {(id) => (
            <select id={id} data-testid="setting-model" value={settings.model ?? ''} onChange={({ target }) => set({ model: target.value || undefined })}>
              <option value="">{words.serverChoice}</option>
              {models.map((model) => (
                <option key={model}>{model}</option>
              ))}
            </select>
          )}
        </Field>
      )}
      <Field label={words.systemPrompt} hint={words.systemHint}>
        {(id, hint) => (
          <textarea
            id={id}
            aria-describedby={hint}
            data-testid="setting-system"
            rows={3}
            dir="auto"
            defaultValue={settings.system ?? ''}
            onBlur={({ target }) => target.value.trim() !== (settings.system ?? '') && set({ system: target.value.trim() || undefined })}
          />
        )}
      </Field>
      <NumberField label={words.temperature} hint={words.temperatureHint} testId="setting-temperature" value={settings.temperature} max={2} step={0.1} set={(temperature) => set({ temperature })} />
      <NumberField label={words.topP} hint={words.topPHint} testId="setting-top-p" value={settings.top_p} max={1} step={0.05} set={(top_p) => set({ top_p })} />
      <NumberField label={words.maxTokens} testId="setting-max-tokens" value={settings.max_tokens} min={1} step={1} set={(max_tokens) => set({ max_tokens })} />
      <p className="field-hint">{words.appliesNext}</p>
    </fieldset>
  )
}

function PagePart() {
  const { shell: words } = useWords()
  const [language, setLanguage] = usePreference(languagePreference)
  const { chosen, choose } = useTheme()
  const names: Record<Theme, string> = { system: words.themeSystem, light: words.themeLight, dark: words.themeDark }
  return (
    <fieldset>
      <legend>{words.pageSettings}</legend>
      <Field label={words.language}>
        {(id) => (
          <select id={id} data-testid="setting-language" value={language} onChange={({ target }) => setLanguage(target.value as Language)}>
            {Object.entries(LANGUAGES).map(([name, own]) => (
              <option key={name} value={name} lang={name}>
                {own}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label={words.themeName}>
        {(id) => (
          <select id={id} data-testid="setting-theme" value={chosen} onChange={({ target }) => choose(target.value as Theme)}>
            {THEMES.map((theme) => (
              <option key={theme} value={theme}>
                {names[theme]}
              </option>
            ))}
          </select>
        )}
      </Field>
      <NotifyField />
    </fieldset>
  )
}

function NotifyField() {
  const { shell: words } = useWords()
  const [notify, setNotify] = usePreference(notifyPreference)
  const [denied, setDenied] = useState(() => typeof Notification !== 'undefined' && Notification.permission === 'denied')
  if (typeof Notification === 'undefined') return null
  const change = async (on: boolean) => {
    const allowed = on && (await Notification.requestPermission()) === 'granted'
    setDenied(on && !allowed)
    setNotify(allowed ? 'yes' : 'no')
  }
  return (
    <div className="field field-check">
      <label>
        <input type="checkbox" data-testid="setting-notify" checked={notify === 'yes' && Notification.permission === 'granted'} onChange={({ target }) => void change(target.checked)} />
        {words.notify}
      </label>
      {denied && <p className="field-hint">{words.notifyDenied}</p>}
    </div>
  )
}

function Field({ label, hint, children }: { label: string; hint?: string; children: (id: string, hint: string | undefined) => ReactNode }) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children(id, hint && `${id}-hint`)}
      {hint && (
        <p className="field-hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  )
}

interface NumberFieldProps {
  readonly label: string
  readonly hint?: string
  readonly testId: string
  readonly value: number | undefined
  readonly min?: number
  readonly max?: number
  readonly step: number
  readonly set: (value: number | undefined) => void
}

/** A number, or nothing for the server's choice; kept once it is a value that the server takes. */
function NumberField({ label, hint, testId, value, min = 0, max, step, set }: NumberFieldProps) {
  const { shell: words } = useWords()
  return (
    <Field label={label} {...(hint ? { hint } : {})}>
      {(id, described) => (
        <input
          id={id}
          type="number"
          inputMode="decimal"
          aria-describedby={described}
          data-testid={testId}
          placeholder={words.serverChoice}
          min={min}
          max={max}
          step={step}
          defaultValue={value ?? ''}
          onBlur={({ target }) => {
            const next = target.value === '' ? undefined : target.valueAsNumber
            if (target.validity.rangeUnderflow || target.validity.rangeOverflow || target.validity.badInput) return target.reportValidity()
            if (next !== value) set(next)
          }}
        />
      )}
    </Field>
  )
}
