"""The embedded model: llama.cpp inside this process, with weights that are fetched once."""
