"""Public test support: `contract` runs the store contract over any store, also over your own."""
