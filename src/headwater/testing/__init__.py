"""What helps to test Headwater, and what others build for it: `contract` runs the store contract over any store."""
