"""Settings → parts: the only files that name every store, every model and every route."""
