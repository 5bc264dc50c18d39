"""Who may use a server: API keys, the sessions that the login box opens with them, and a limit on guesses."""
