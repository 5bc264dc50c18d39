"""Answers: the one way in (`answers`), a model running into a log (`generation`), and its owner (`nursery`)."""
