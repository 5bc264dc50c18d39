"""Getting answers: the one way in (`attach`), a model running into a log (`run`), and who owns it (`nursery`)."""
